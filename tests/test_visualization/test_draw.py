import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from allinone.tasks.classification import top_classes
from allinone.visualization import draw_tasks
from allinone.visualization.annotator import DASHES, Annotator, _dashes
from allinone.visualization.draw import OPACITY, Drawing, _free_spot, _overlap, label_areas
from allinone.visualization.palette import ClassTable, distinct_colour

GREY = 100
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def image():
    return np.full((480, 640, 3), GREY, np.uint8)


def detected(boxes, scores, labels):
    return DetDataSample(
        pred_instances=InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor(scores),
            labels=torch.tensor(labels),
        )
    )


def segmented(mask):
    return SegDataSample(pred_sem_seg=PixelData(data=torch.from_numpy(mask)[None]))


def classified(scores):
    scores = torch.tensor(scores)
    return DataSample().set_pred_score(scores).set_pred_label(scores.argmax())


def test_boxes_are_framed_in_their_class_colour(image):
    sample = detected([[100, 100, 300, 200], [400, 300, 500, 400]], [0.9, 0.2], [1, 0])
    drawn = draw_tasks(
        image, {'cars': sample}, {'cars': dict(classes=['van', 'bus'], palette=[RED, BLUE])}
    )
    assert drawn.shape == image.shape
    assert tuple(drawn[150, 100]) == tuple(drawn[200, 250]) == BLUE
    assert (drawn[150, 150:250] == GREY).all()
    assert (drawn[250:450, 350:550] == GREY).all(), 'a box below the threshold is drawn'
    assert (image == GREY).all(), "the caller's image was changed"
    # The caption stands above the box
    assert (drawn[80:97, 100:140] == BLUE).all(-1).any()


def test_masks_are_blended_and_what_is_no_class_is_not(image):
    mask = np.full((480, 640), 255)
    mask[:, :200], mask[:, 200:400] = 0, 1
    drawn = draw_tasks(
        image, {'seg': segmented(mask)}, {'seg': dict(classes=['road', 'sky'], palette=[RED, BLUE])}
    )
    for column, colour in ((100, RED), (300, BLUE)):
        expected = OPACITY * np.array(colour) + (1 - OPACITY) * GREY
        np.testing.assert_allclose(drawn[240, column], expected, atol=1)
    assert (drawn[:480, 400:] == GREY).all()


def test_letters_that_reach_out_of_their_text():
    """The hook of a first j, and an accent on a capital."""
    for text in ('jeep', 'Ångström', 'Ělk', 'car'):
        pens = [Annotator(np.zeros((60, 200, 3), np.uint8)) for _ in range(2)]
        pens[0].text(20, 20, text, RED)
        pens[1].draw.text((20, 20), text, fill=RED, font=pens[1].font)
        assert np.array_equal(pens[0].image, pens[1].image) and pens[0].image.any()


@pytest.mark.parametrize(
    'labels, dtype',
    [
        ([0, 3, 255], np.uint8),
        ([-128, -1, 127], np.int8),
        ([-1, 0, 7], np.int64),
        ([65535, 9], np.uint16),
        ([1 << 40, -5], np.int64),
    ],
)
def test_areas_of_labels_of_any_type(labels, dtype):
    mask = np.array([labels[0]] * 3 + labels[1:] * 2, dtype)[:, None].repeat(5, 1)
    expected = {labels[0]: 15, **dict.fromkeys(labels[1:], 10)}
    for found in (label_areas(mask), label_areas(np.asfortranarray(mask))):
        assert found == expected and list(found) == sorted(expected)


def test_legend_shows_the_classes_present_below_the_image(image):
    mask = np.zeros((480, 640), np.int64)
    drawn = draw_tasks(
        image, {'seg': segmented(mask)}, {'seg': dict(classes=['road', 'sky'], palette=[RED, BLUE])}
    )
    strip = drawn[480:]
    assert len(strip) > 10
    assert (strip == RED).all(-1).sum() > 20
    assert not (strip == BLUE).all(-1).any()


def test_class_label_is_a_strip_that_leaves_the_image_alone(image):
    drawn = draw_tasks(image, {'cls': classified([0.1, 0.9])}, {'cls': dict(classes=['a', 'b'])})
    assert drawn.shape[0] > 480 and drawn.shape[1] == 640
    assert (drawn[:480] == GREY).all()
    assert drawn[480:].max() > 200


def test_all_tasks_share_one_image(image):
    samples = dict(
        a=classified([0.3, 0.7]),
        b=detected([[50, 50, 90, 90]], [0.8], [0]),
        c=detected([[200, 50, 290, 90]], [0.8], [0]),
        d=segmented(np.zeros((480, 640), np.int64)),
    )
    drawn = draw_tasks(image, samples)
    assert tuple(drawn[70, 50]) != tuple(drawn[70, 200]), 'two tasks without palettes look alike'
    assert not (drawn[300:480] == GREY).any()


def test_boxes_of_two_detectors_are_told_apart(image):
    """By dashes, by captions and by a legend, also where their classes have equal colours."""
    metainfo = dict.fromkeys('abc', dict(classes=['van'], palette=[RED]))
    box, none = detected([[100, 100, 300, 200]], [0.9], [0]), detected([], [], [])
    drawings = {
        name: draw_tasks(image, samples, metainfo)
        for name, samples in dict(
            alone=dict(a=box),
            first=dict(a=box, b=none),
            second=dict(a=none, b=box),
            third=dict(a=none, b=none, c=box),
        ).items()
    }
    left = {name: (drawn[110:190, 100] == RED).all(-1) for name, drawn in drawings.items()}
    assert left['alone'].all() and left['first'].all()
    for name, least in dict(second=3, third=8).items():
        gaps = np.count_nonzero(np.diff(left[name].astype(int)) == -1)
        assert gaps >= least and 0.2 < left[name].mean() < 0.7
    # The caption has the task, too.
    widths = {name: (drawn[70:99] == RED).all(-1).any(0).sum() for name, drawn in drawings.items()}
    assert all(widths[name] > widths['alone'] + 10 for name in ('first', 'second'))
    assert len(drawings['alone']) == 480 < len(drawings['first']) < len(drawings['third'])


def test_dashes_begin_and_end_at_the_corners():
    for stop in (30, 47, 200, 333):
        dashes = _dashes(10, stop, 1000, 2, DASHES['dashed'])
        assert dashes[0][0] == 10 and dashes[-1][1] == stop
        assert all(first[1] < second[0] for first, second in zip(dashes, dashes[1:]))
    assert _dashes(10, 14, 1000, 2, DASHES['dashed']) == [(10, 14)]
    # Of a side that reaches far out, only what is in the image
    found = _dashes(-(10**9), 10**9, 100, 2, DASHES['dotted'])
    assert 5 < len(found) < 20 and found[0][0] <= 0 and found[-1][1] >= 99


def test_boxes_of_a_task_without_a_name_have_full_frames(image):
    drawing = Drawing(image)
    for name in ('a', 'b'):
        drawing.add_box_task(name)
    drawing.add_box(0.9, np.array([100, 100, 300, 200]), 'van', RED)
    assert (drawing.render()[110:190, 100] == RED).all()


@pytest.mark.parametrize('shape', [(192, 256), (64, 64), (20, 2000)])
def test_small_images_are_scaled_up_with_their_boxes(shape):
    height, width = shape
    image = np.full((*shape, 3), GREY, np.uint8)
    box = [0.25 * width, 0.5 * height, 0.75 * width, 0.9 * height]
    drawn = draw_tasks(
        image, dict(det=detected([box], [0.9], [0])), dict(det=dict(classes=['x'], palette=[RED]))
    )
    factor = drawn.shape[1] / width
    assert drawn.shape[0] == pytest.approx(factor * height, abs=1)
    assert factor >= 1 and max(drawn.shape) <= 2000
    left = drawn[round(0.7 * drawn.shape[0]), : drawn.shape[1] // 2]
    columns = np.flatnonzero((left == RED).all(-1))
    assert abs(columns[0] - 0.25 * drawn.shape[1]) <= 1


def test_strokes_and_letters_grow_with_the_image():
    small, large = (Annotator(np.zeros((side, side, 3), np.uint8)) for side in (480, 2160))
    assert large.line >= 3 * small.line
    assert large.text_height >= 3 * small.text_height


def test_boxes_out_of_the_image_or_not_finite_do_no_harm(image):
    sample = detected(
        [[-50, -50, 700, 20], [float('nan')] * 4, [630, 470, 900, 900]], [0.9, 0.9, 0.8], [0, 0, 1]
    )
    assert draw_tasks(image, dict(det=sample)).shape == image.shape
    assert (draw_tasks(image, dict(det=detected([], [], []))) == GREY).all()


def test_instance_masks_are_drawn_on_a_copy(image):
    sample = detected([[100, 100, 200, 200]], [0.9], [0])
    sample.pred_instances.masks = torch.zeros(1, 480, 640, dtype=torch.bool)
    sample.pred_instances.masks[0, 120:180, 120:180] = True
    drawn = draw_tasks(image, dict(det=sample), dict(det=dict(classes=['x'], palette=[RED])))
    assert drawn[150, 150, 0] > drawn[150, 150, 1]
    assert (image == GREY).all()


def test_captions_do_not_hide_each_other(image):
    annotator, taken = Annotator(image), []
    for _ in range(5):
        spot = _free_spot(annotator, (300, 200, 380, 300), 'vehicle 0.50', taken)
        assert not any(_overlap(spot, other) for other in taken)
        taken.append(spot)
    everywhere = [(0, 0, *annotator.canvas.size)]
    assert _free_spot(annotator, (300, 200, 380, 300), 'vehicle 0.50', everywhere) is None


def test_a_caption_at_the_rim_does_not_hide_what_its_box_shows(image):
    annotator, box = Annotator(image), (100, 2, 180, 60)
    assert not _overlap(_free_spot(annotator, box, 'vehicle 0.50', []), box)


def test_top_classes_begin_with_what_is_predicted():
    assert [label for label, _ in top_classes(classified([0.1, 0.7, 0.2]), 2)] == [1, 2]
    several = DataSample().set_pred_score(torch.tensor([0.6, 0.1, 0.9])).set_pred_label([0, 2])
    assert [label for label, _ in top_classes(several, 3)] == [2, 0, 1]
    assert top_classes(DataSample().set_pred_label(3), 5) == [(3, None)]


def test_class_table_falls_back_to_numbers_and_fixed_colours():
    table = ClassTable(dict(classes=('a', 'b'), palette=[RED] * 80), start=10)
    assert (table.name(1), table.name(7)) == ('b', '7')
    assert table.colour(1) == distinct_colour(11), "a left-over palette of 80 is not the classes'"
    colours = np.array([distinct_colour(index) for index in range(20)], float)
    distances = np.abs(colours[:, None] - colours[None]).sum(-1)
    assert distances[~np.eye(20, dtype=bool)].min() > 40
