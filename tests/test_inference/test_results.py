"""Results as objects: attributes of records, drawings, files, tables."""

import copy
import json
import pickle
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from PIL import Image

from allinone.errors import ConfigError, DataError
from allinone.inference import showing
from allinone.inference.results import Result, Results
from allinone.inference.sources import Source
from allinone.io.images import read_image, write_image
from allinone.tasks import Classification, TaskKind
from allinone.tasks.masks import encode_mask
from allinone.tasks.results import DetectionResult
from allinone.visualization.palette import ClassTable

HEIGHT, WIDTH = 48, 64
MASKS = np.zeros((2, HEIGHT, WIDTH), bool)
MASKS[0, 10:20, 5:25] = MASKS[1, 30:40, 40:60] = True
ROAD = np.zeros((HEIGHT, WIDTH), bool)
ROAD[24:] = True
RECORD = dict(
    cls=dict(
        label=1,
        name='rain',
        score=0.75,
        top5=[
            dict(label=1, name='rain', score=0.75),
            dict(label=0, name='sun', score=0.125),
        ],
    ),
    tags=dict(labels=[dict(label=2, name='night', score=0.875)], scores=[0.25, 0.125, 0.875]),
    det=[
        dict(bbox=[5.0, 10.0, 25.0, 20.0], label=0, name='car', score=0.875),
        dict(bbox=[40.0, 30.0, 60.0, 40.5], label=1, name='bus', score=0.25),
    ],
    seg=[
        dict(label=0, name='sky', area=24 * 64, segmentation=encode_mask(~ROAD)),
        dict(label=3, name='road', area=24 * 64, segmentation=encode_mask(ROAD)),
    ],
)
METAINFO = dict(cls=dict(classes=('sun', 'rain', 'snow')))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def result(image):
    return Result(RECORD, metainfo=METAINFO, image=image)


def with_masks():
    record = copy.deepcopy(RECORD['det'])
    for entry, mask in zip(record, MASKS):
        entry['mask'] = encode_mask(mask)
    return record


def test_it_is_the_record(result):
    assert result == RECORD and list(result) == list(RECORD)
    assert result['det'][0]['bbox'] == [5, 10, 25, 20] and result['cls']['name'] == 'rain'
    assert json.dumps(result) == json.dumps(RECORD) == result.to_json()
    found = result.to_dict()
    assert found == RECORD
    for task, kind in dict(cls=dict, tags=dict, det=list, seg=list).items():
        assert type(found[task]) is kind and found[task] is not result[task]
    assert type(found) is dict and type(found['det'][0]) is dict


def test_boxes_are_arrays(result):
    boxes = result['det']
    assert boxes.boxes.tolist() == [[5, 10, 25, 20], [40, 30, 60, 40.5]]
    assert boxes.boxes.dtype == boxes.scores.dtype == np.float32
    assert boxes.labels.tolist() == [0, 1] and boxes.names == ['car', 'bus']
    assert boxes.scores.tolist() == [0.875, 0.25] and boxes.masks is None
    for chosen in (boxes[:1], boxes[boxes.scores > 0.5], boxes[[0]], boxes[np.array([-2])]):
        assert type(chosen) is DetectionResult and chosen == RECORD['det'][:1]
    assert boxes[boxes.scores > 0.9] == [] and type(boxes[1]) is dict


def test_masks_are_arrays():
    boxes = Result(dict(det=with_masks()))['det']
    assert boxes.masks.dtype == bool and np.array_equal(boxes.masks, MASKS)
    assert np.array_equal(boxes[boxes.scores < 0.5].masks, MASKS[1:])


def test_no_boxes_are_empty_arrays():
    boxes = Result(dict(det=[]))['det']
    assert boxes.boxes.shape == (0, 4) and boxes.labels.shape == boxes.scores.shape == (0,)
    assert boxes.names == [] and boxes.masks is None


def test_a_label_map_and_its_shares(result):
    found = result['seg']
    assert np.array_equal(found.map, np.where(ROAD, 3, 0)) and found.map.dtype == np.int64
    assert found.areas == {'sky': 0.5, 'road': 0.5}
    assert found.labels.tolist() == [0, 3] and found.names == ['sky', 'road']


def test_classes(result):
    found = result['cls']
    assert (found.label, found.name, found.score) == (1, 'rain', 0.75)
    # A file has the best five alone: of snow nothing is known.
    assert found.scores[:2].tolist() == [0.125, 0.75] and np.isnan(found.scores[2])
    scores = torch.tensor([0.0, 0.25, 0.5, 0.125, 0.0, 0.0625, 0.0625])
    sample = BaseDataElement(pred_score=scores, pred_label=torch.tensor([2]))
    table = ClassTable()
    record = Classification().to_record(sample, table)
    found = Classification().result(record, table, sample)
    assert found == record and found.scores.tolist() == scores.tolist()


def test_several_labels(result):
    found = result['tags']
    assert found.labels.tolist() == [2] and found.names == ['night']
    assert found.scores.tolist() == [0.25, 0.125, 0.875]
    assert found['labels'] == RECORD['tags']['labels']


def test_copies_are_the_same(result, image):
    for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert again == result and np.array_equal(again.image, image)
        assert again['cls'].label == 1 and again['det'].boxes.shape == (2, 4)
        assert np.array_equal(again.plot(), result.plot())


def test_channels_are_those_of_the_input(image):
    blue_first = Result(RECORD, image=image)
    red_first = Result(RECORD, image=np.ascontiguousarray(image[..., ::-1]), channels='rgb')
    assert np.array_equal(blue_first.image, image)
    assert np.array_equal(red_first.image, image[..., ::-1])
    drawing = blue_first.plot()
    assert np.array_equal(drawing, red_first.plot(channels='bgr'))
    assert np.array_equal(drawing[..., ::-1], red_first.plot())
    assert np.array_equal(drawing[..., ::-1], blue_first.plot(channels='rgb'))
    assert not np.array_equal(drawing, drawing[..., ::-1])
    with pytest.raises(ConfigError, match="channels is 'gbr'"):
        blue_first.plot(channels='gbr')
    with pytest.raises(ConfigError, match="channels is 'BGR'"):
        Result(RECORD, image=image, channels='BGR')


def test_boxes_below_the_threshold_are_not_drawn(result):
    drawings = [result.plot(score_thr=value) for value in (0.2, 0.3, 0.9)]
    assert not np.array_equal(*drawings[:2]) and not np.array_equal(*drawings[1:])


def test_drawing_and_record_are_saved(result, tmp_path):
    result.save(tmp_path / 'a.png', score_thr=0.2)
    assert np.array_equal(read_image(tmp_path / 'a.png'), result.plot(score_thr=0.2))
    result.save(tmp_path / 'a.json')
    assert (tmp_path / 'a.json').read_text() == json.dumps(RECORD) + '\n'
    with pytest.raises(ConfigError, match='a.txt, whose suffix is of no format'):
        result.save(tmp_path / 'a.txt')


def test_the_image_of_a_file_is_read_when_it_is_needed(image, tmp_path):
    path = tmp_path / 'a.png'
    write_image(path, image[..., ::-1])
    result = Result(RECORD, image=path)
    assert result.path == str(path) and np.array_equal(result.image, image)
    path.unlink()
    assert result['cls'].name == 'rain'
    with pytest.raises(DataError, match='a.png'):
        result.plot()


def test_a_record_alone_is_not_drawn():
    result = Result(RECORD)
    assert result.path is None and result._repr_png_() is None
    with pytest.raises(DataError, match='this result has no image; give'):
        result.plot()
    with pytest.raises(DataError, match='fits none of the kinds'):
        Result(dict(x=7))


def test_the_names_of_a_record_are_drawn(image):
    names = dict(cls=['sun', 'rain'], tags=['0', '1', 'night'], det=['car', 'bus'])
    names |= dict(seg=['sky', '1', '2', 'road'])
    metainfo = {task: dict(classes=classes) for task, classes in names.items()}
    read, made = (Result(RECORD, metainfo=given, image=image) for given in (None, metainfo))
    assert np.array_equal(read.plot(score_thr=0.1), made.plot(score_thr=0.1))
    # What has no name, as ignored pixels, is none of the classes.
    record = [dict(RECORD['seg'][0]), dict(RECORD['seg'][1], label=255, name='255')]
    assert Result(dict(seg=record))['seg'].class_names() == ['sky']


def test_a_kind_without_results_gives_its_record(tmp_path):
    class Bare(TaskKind):
        pass

    result = Result(dict(x=dict(quality=0.5)), kinds=dict(x=Bare()))
    assert result['x'] == dict(quality=0.5) and result.to_supervision() == {}
    assert result._rows() == [dict(task='x', quality=0.5)]


def test_a_notebook_shows_it(result, monkeypatch):
    shown = []
    shell = SimpleNamespace(kernel=object())
    ipython = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, 'IPython', ipython)
    monkeypatch.setitem(sys.modules, 'IPython.display', SimpleNamespace(display=shown.append))
    assert result.show() is None
    (found,) = shown
    assert np.array_equal(np.asarray(found), result.plot(channels='rgb'))
    data = np.frombuffer(result._repr_png_(), np.uint8)
    assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR), result.plot(channels='bgr'))
    # IPython in a terminal displays no images.
    del shell.kernel
    monkeypatch.setattr(showing, '_has_screen', lambda: False)
    assert result.show() and len(shown) == 1


def test_a_window_or_a_file_shows_it(result, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr('sys.platform', 'linux')
    opened = []
    monkeypatch.setattr(
        showing.ImageShow, 'show', lambda image, title: opened.append(title) or True
    )
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    path = result.show()
    assert path in capsys.readouterr().out and not opened
    assert np.array_equal(np.asarray(Image.open(path)), result.plot(channels='rgb'))
    monkeypatch.setenv('DISPLAY', ':0')
    assert result.show() is None and opened == ['the image']
    # Without a viewer on the machine
    monkeypatch.setattr(showing.ImageShow, 'show', lambda image, title: False)
    assert result.show() != path


def test_several_in_a_notebook(result):
    page = Results([result, None, Result(RECORD), *[result] * 12])._repr_html_()
    assert page.count('data:image/png;base64,') == 10 and page.count('<figure') == 11
    assert 'and 3 more' in page
    named = Result(RECORD, image=BlackImage('<b>&'))
    assert '<b>' not in Results([named])._repr_html_()


class BlackImage(Source):
    def read(self, note=None):
        return np.zeros((8, 8, 3), np.uint8)


def test_several_are_a_list(result):
    results = Results([result, None])
    assert results == [RECORD, None] and json.loads(results.to_json()) == [RECORD, None]
    assert type(results[:1]) is Results and results[0] is result
    assert repr(results) == '<Results of 2 image(s): cls, tags, det, seg>'
    assert repr(result) == '<Result of the image: cls, tags, det, seg>'


def rows(frame):
    return frame.astype(object).where(frame.notna(), None).to_dict('records')


def test_a_table(result, image):
    pytest.importorskip('pandas')
    boxes = result['det'].to_df()
    assert list(boxes.columns) == ['label', 'name', 'score', 'x1', 'y1', 'x2', 'y2']
    assert boxes.values.tolist()[1] == [1, 'bus', 0.25, 40, 30, 60, 40.5]
    assert list(Result(dict(det=[]))['det'].to_df().columns) == list(boxes.columns)
    assert result['seg'].to_df().values.tolist()[1] == [3, 'road', 24 * 64, 0.5]
    frame = result.to_df()
    assert frame.task.tolist() == ['cls', 'tags', 'det', 'det', 'seg', 'seg']
    assert frame.name.tolist() == ['rain', 'night', 'car', 'bus', 'sky', 'road']
    assert rows(frame)[0] == dict.fromkeys(frame.columns) | dict(
        task='cls', label=1, name='rain', score=0.75
    )
    frame = Results([None, result]).to_df()
    assert list(frame.columns[:3]) == ['image', 'path', 'task'] and set(frame.image) == {1}
    classified = copy.deepcopy(RECORD['det'])
    for entry in classified:
        entry |= dict(cls=RECORD['cls'], tags=RECORD['tags'])
    frame = Result(dict(det=classified))['det'].to_df()
    assert frame.cls.tolist() == ['rain'] * 2 and frame.tags.tolist() == ['night'] * 2


def test_objects_of_supervision():
    supervision = pytest.importorskip('supervision')
    record = dict(RECORD, det=with_masks())
    found = Result(record, metainfo=METAINFO).to_supervision()
    boxes = found['det']
    assert isinstance(boxes, supervision.Detections) and len(boxes) == 2
    assert boxes.xyxy.tolist() == [[5, 10, 25, 20], [40, 30, 60, 40.5]]
    assert boxes.confidence.tolist() == [0.875, 0.25] and boxes.class_id.tolist() == [0, 1]
    assert boxes.data['class_name'].tolist() == ['car', 'bus']
    assert np.array_equal(np.asarray(boxes.mask), MASKS)
    assert found['seg'].xyxy.tolist() == [[0, 0, 64, 24], [0, 24, 64, 48]]
    assert found['seg'].data['class_name'].tolist() == ['sky', 'road']
    assert found['tags'].confidence.tolist() == [0.25, 0.125, 0.875]
    assert isinstance(found['cls'], supervision.Classifications)
    assert len(Result(dict(det=[])).to_supervision()['det']) == 0


@pytest.mark.parametrize('package, call', [('pandas', 'to_df'), ('supervision', 'to_supervision')])
def test_a_package_that_is_missing_is_named(result, monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    sentence = rf"{call}\(\) needs the package {package}, .* pip install 'allinone\[{package}\]'"
    for found in (result, result['det'], result['cls'], Results([result])):
        with pytest.raises(ConfigError, match=sentence):
            getattr(found, call)()


def test_an_empty_choice_and_joined_lists(result):
    for nothing in ([], (), np.array([])):
        chosen = result['det'][nothing]
        assert type(chosen) is DetectionResult and len(chosen) == 0
    results = Results([result])
    for more in (results + [None], results.copy() + Results([None])):
        assert type(more) is Results and list(more) == [result, None]
    assert type(results.copy()) is Results and list(results) == [result]
