"""Tables and curves of known predictions, by hand and by the libraries' own metrics."""

import json
import math

import numpy as np
import pytest
import torch
from faster_coco_eval import COCO, COCOeval_faster
from known_predictions import boxes
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmpretrain.evaluation import AveragePrecision
from mmseg.evaluation import IoUMetric
from PIL import Image

from allinone.tasks.analyses import (
    BoxAnalysis,
    ClassAnalysis,
    LabelMapAnalysis,
    MultiLabelAnalysis,
)
from allinone.tasks.analyses.box_matching import Boxes, match, overlaps, pairs_by_overlap
from allinone.tasks.analyses.calibration import BINS, reliability
from allinone.tasks.analyses.ranking import Counts, precision_at_recalls


def table(parts, title='Classes'):
    """``{class: {column: value}}`` of a table."""
    (part,) = [part for part in parts if part.form == 'table' and part.title == title]
    return {row[0]: dict(zip(part.columns, row)) for row in part.rows}


def part_of(parts, form):
    (part,) = [part for part in parts if part.form == form]
    return part


def image_info(*instances):
    """``(x, y, width, height, label)`` of each box, ignored with a sixth value."""
    return dict(
        instances=[
            dict(bbox=[x, y, x + w, y + h], bbox_label=label, ignore_flag=int(any(ignored)))
            for x, y, w, h, label, *ignored in instances
        ]
    )


# ------------------------------------------------------------------ boxes


def street():
    """Three classes on two images; the third class has no box, and no detection."""
    analysis = BoxAnalysis(['car', 'sign', 'dog'], score_thr=0.5)
    first = analysis.add(
        boxes(
            [
                (0, 0, 10, 10, 0, 0.9),  # finds the first car
                (20, 0, 10, 10, 0, 0.8),  # on a sign
                (50, 50, 10, 10, 0, 0.7),  # on nothing
                (20, 0, 10, 10, 1, 0.3),  # finds the sign, below the threshold
            ]
        ),
        image_info((0, 0, 10, 10, 0), (20, 0, 10, 10, 1), (80, 0, 10, 10, 0)),
    )
    second = analysis.add(boxes([(0, 0, 10, 8, 0, 0.6)]), image_info((0, 0, 10, 10, 0)))
    return analysis, first, second


def test_boxes_by_hand():
    analysis, first, second = street()
    # Right: 1 car. Wrong: 2 cars. Missed: 1 car and the sign.
    assert first.value == pytest.approx(2 * 1 / (2 * 1 + 2 + 2)) and first.weight == 3 + 2
    assert second.value == 1
    rows = table(analysis.parts())
    assert [row['Boxes'] for row in rows.values()] == [3, 1, 0]
    assert [row['Images'] for row in rows.values()] == [2, 1, 0]
    assert [row['Detections'] for row in rows.values()] == [4, 0, 0]
    assert [row['Precision %'] for row in rows.values()] == [50, None, None]
    assert [row['Recall %'] for row in rows.values()] == [pytest.approx(200 / 3), 0, None]
    # Cars by score: right, wrong, wrong, right (.6): precision 1 up to a recall of 1/3 (34 of 101
    # recalls), 1/2 up to 2/3 (33), then 0.
    assert rows['car']['AP50 %'] == pytest.approx(100 * (34 * 1 + 33 * 0.5) / 101)
    # An IoU of .8 is too little at .85, .9 and .95.
    assert rows['car']['AP %'] == pytest.approx(100 * (34 * 10 + 33 * 0.5 * 7) / 1010)
    assert [rows['sign'][name] for name in ('AP50 %', 'AP %')] == pytest.approx([100, 100])
    assert rows['dog']['AP %'] is rows['dog']['Best F1 %'] is rows['dog']['at threshold'] is None
    # Both right cars at .6, where all four are predicted: 4 / (4 + 3). At .9: 2 / (1 + 3).
    assert rows['car']['Best F1 %'] == pytest.approx(400 / 7)
    assert rows['car']['at threshold'] == 0
    assert (rows['sign']['Best F1 %'], rows['sign']['at threshold']) == (100, 0)
    summary = analysis.summary()
    assert summary['mAP50 %'] == pytest.approx((rows['car']['AP50 %'] + 100) / 2)
    assert analysis.class_values()['dog'] is None


def test_the_confusion_matrix_of_boxes_has_the_background():
    analysis, *_ = street()
    matrix = part_of(analysis.parts(), 'matrix')
    assert matrix.rows == matrix.columns == ['car', 'sign', 'dog', 'background']
    assert matrix.values == [[2, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert 'score of 0.5' in matrix.note and 'IoU of 0.5' in matrix.note
    (pairs,) = [p for p in analysis.parts() if p.title == 'Most frequent confusions']
    assert pairs.rows[0] == ['car', 'background', 1, pytest.approx(100 / 3)]
    assert ['sign', 'car', 1, 100] in pairs.rows


def test_ignored_boxes_are_neither_right_nor_wrong():
    analysis = BoxAnalysis(['car'], 0.3)
    quality = analysis.add(
        boxes([(0, 0, 10, 10, 0, 0.9), (1, 0, 10, 10, 0, 0.8), (70, 70, 4, 4, 0, 0.7)]),
        image_info((0, 0, 40, 40, 0, True), (70, 70, 4, 4, 0)),
    )
    assert quality.value == 1
    row = table(analysis.parts())['car']
    assert (row['Boxes'], row['Detections'], row['AP %']) == (1, 1, pytest.approx(100))
    assert part_of(analysis.parts(), 'matrix').values == [[1, 0], [0, 0]]
    assert sum(part_of(analysis.parts(), 'reliability').counts) == 1


def test_a_crowd_of_another_class_excuses_nothing():
    """F1 and the confusion matrix count such a detection alike."""
    analysis = BoxAnalysis(['a', 'b'], 0.3)
    quality = analysis.add(
        boxes([(10, 10, 9, 9, 0, 0.9), (200, 0, 10, 10, 1, 0.9), (30, 30, 9, 9, 1, 0.9)]),
        image_info((0, 0, 100, 100, 0, True), (200, 0, 10, 10, 1)),
    )
    assert quality.value == pytest.approx(2 / 3)
    assert part_of(analysis.parts(), 'matrix').values == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_an_image_without_anything_is_labelled_but_not_rated():
    analysis = BoxAnalysis(['car'])
    assert math.isnan(analysis.add(boxes([]), image_info()).value)
    assert analysis.add(boxes([])) is None  # No annotations at all
    rows = table(analysis.parts())
    assert rows['car']['AP %'] is None and analysis.summary()['mAP %'] is None
    assert analysis.summary()['ECE %'] is None


def test_boxes_of_a_sample_serve_where_the_data_set_tells_nothing():
    sample = boxes([(0, 0, 10, 10, 0, 0.9)])
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[0.0, 0, 10, 10]]), labels=torch.tensor([0])
    )
    sample.ignored_instances = InstanceData(
        bboxes=torch.tensor([[50.0, 0, 60, 10]]), labels=torch.tensor([0])
    )
    analysis = BoxAnalysis(['car'])
    assert analysis.add(sample).value == 1 and analysis.annotated.tolist() == [1]


def random_detections(seed, images=30, classes=4):
    """Annotations and detections near them, with crowds, equal overlaps and an absent class."""
    random = np.random.default_rng(seed)
    for _ in range(images):
        annotated = []
        for _ in range(random.integers(0, 8)):
            x, y, w, h = random.integers(0, 60, 2).tolist() + random.integers(4, 40, 2).tolist()
            annotated.append(
                (x, y, w, h, int(random.integers(0, classes - 1)), random.random() < 0.15)
            )
        annotated += annotated[:1]
        found = (
            [
                (
                    *np.add(annotated[i][:4], random.integers(-2, 3, 4)).clip(1),
                    annotated[i][4] if random.random() < 0.8 else random.integers(0, classes),
                    random.random(),
                )
                for i in random.integers(0, len(annotated), 25)
            ]
            if annotated
            else [(5, 5, 9, 9, 0, random.random())]
        )
        yield annotated, found


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_average_precisions_are_those_of_coco(seed, tmp_path):
    analysis = BoxAnalysis(['a', 'b', 'c', 'd'])
    content = dict(
        images=[], annotations=[], categories=[dict(id=i, name=n) for i, n in enumerate('abcd')]
    )
    detections = []
    for image, (annotated, found) in enumerate(random_detections(seed)):
        sample = boxes(found)
        analysis.add(sample, image_info(*annotated))
        content['images'].append(dict(id=image, width=200, height=200))
        for x, y, w, h, label, crowd in annotated:
            number = len(content['annotations']) + 1
            box = dict(image_id=image, category_id=label, bbox=[x, y, w, h], area=w * h)
            content['annotations'].append(dict(box, id=number, iscrowd=int(crowd)))
        scores = sample.pred_instances.scores.tolist()
        for (x, y, w, h, label, _), score in zip(found, scores):
            box = [float(value) for value in (x, y, w, h)]
            detections.append(dict(image_id=image, category_id=int(label), bbox=box, score=score))
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    coco = COCO(str(tmp_path / 'coco.json'))
    evaluation = COCOeval_faster(coco, coco.loadRes(detections), 'bbox', print_function=str)
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0, -1].mean(1)
    assert (precision[:, 3] == -1).all() and 0.02 < precision[:, :3].mean() < 0.98
    ours = analysis.average_precisions()
    np.testing.assert_allclose(ours[:, :3], precision[:, :3], atol=1e-9)
    assert np.isnan(ours[:, 3]).all()


def test_matching_takes_the_best_free_box_and_a_crowd_last():
    truth = Boxes(
        np.array([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 30, 30]]),
        np.array([0, 0, 0]),
        np.array([False, False, True]),
    )
    found = np.array([[0.0, 0, 10, 10]] * 4)
    iou = overlaps(found, truth)
    np.testing.assert_allclose(iou[0], [1, 0.8, 1])
    right, left_out = match(iou, np.ones((4, 3), bool), truth.ignored)
    assert right[:, 0].tolist() == [True, True, False, False]
    assert right[:, -1].tolist() == [True, False, False, False]
    assert left_out[:, 0].tolist() == [False, False, True, True]


def test_pairs_are_made_by_overlap():
    iou = np.array([[0.6, 0.7], [0.9, 0.8], [0.4, 0.0]])
    found, at = pairs_by_overlap(iou, 0.5)
    assert list(zip(found, at)) == [(1, 0), (0, 1)]
    assert [len(part) for part in pairs_by_overlap(np.zeros((0, 2)), 0.5)] == [0, 0]


def test_labels_of_boxes():
    infos = [
        image_info((0, 0, 10, 10, 0), (0, 0, 40, 40, 0), (0, 0, 9, 9, 1, True)),
        image_info((0, 0, 100, 100, 1)),
        image_info(),
    ]
    parts = BoxAnalysis.label_parts('Training data', infos, ['a', 'b', 'c'], 10)
    rows = table(parts, 'Training data')
    assert list(rows['a'].values()) == [
        'a',
        2,
        pytest.approx(200 / 3),
        1,
        1,
        1,
        0,
        pytest.approx(math.sqrt((100 + 1600) / 2)),
    ]
    assert list(rows['b'].values()) == ['b', 1, pytest.approx(100 / 3), 1, 0, 0, 1, 100]
    assert list(rows['c'].values()) == ['c', 0, 0, 0, 0, 0, 0, None]
    assert '3 images, of which 1 have no box, and 3 boxes' in parts[0].note
    histogram = part_of(parts, 'histogram')
    counts = dict(zip(histogram.edges, histogram.counts))
    assert (counts[8], counts[32], counts[64], sum(counts.values())) == (1, 1, 1, 3)


# ------------------------------------------------------------------ scores


def test_counts_at_thresholds():
    # In float32, 0.7 is less than 0.7.
    scores = np.array([0.9, 0.7, 0.7, 0.1], np.float32)
    right = np.array([True, True, False, False])
    counts = Counts.of(scores, right, 4, [0, 0.7, 0.71, 0.95])
    assert counts.predicted.tolist() == [4, 3, 1, 0] and counts.right.tolist() == [2, 2, 1, 0]
    np.testing.assert_allclose(counts.precision, [0.5, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(counts.recall, [0.5, 0.5, 0.25, 0])
    np.testing.assert_allclose(counts.f1, [4 / 8, 4 / 7, 2 / 5, 0])


def test_precision_is_the_highest_at_a_recall_or_above():
    scores, right = np.array([0.9, 0.8, 0.7]), np.array([False, True, True])
    found = precision_at_recalls(scores, right, 4)
    # Precision 1/2 at a recall of .25, 2/3 at .5
    np.testing.assert_allclose(found[:51], 2 / 3)
    assert not found[51:].any()
    assert np.isnan(precision_at_recalls(scores, right, 0)).all()


def test_the_calibration_error_is_that_of_its_definition():
    random = np.random.default_rng(0)
    scores = random.random(500) ** 2
    right = random.random(500) < 0.7 * scores
    expected = 0.0
    for place in range(BINS):
        chosen = (scores > place / BINS) & (scores <= (place + 1) / BINS)
        if chosen.any():
            gap = abs(right[chosen].mean() - scores[chosen].mean())
            expected += chosen.sum() / 500 * gap
    found = reliability('', scores, right, '')
    assert found.ece == pytest.approx(100 * expected) and found.ece > 1
    # By hand: .8 is right in 1 of 2, and 1.0 always.
    found = reliability('', np.array([0.8, 0.8, 1.0, 1.0]), np.array([1, 0, 1, 1]), '')
    assert found.ece == pytest.approx(15) and found.counts[11] == 2 and found.counts[-1] == 2
    assert reliability('', np.array([0.0, 1.0]), np.array([0, 1]), '').ece == 0
    assert reliability('', np.zeros(0), np.zeros(0), '').ece is None


# ------------------------------------------------------------------ classes


def classified(label, scores):
    return BaseDataElement(
        gt_label=torch.tensor([label]),
        pred_score=torch.tensor(scores),
        pred_label=torch.tensor([0]),
    )


def test_classes_by_hand():
    analysis = ClassAnalysis(['a', 'b', 'c'])
    qualities = [
        analysis.add(classified(0, [0.8, 0.1, 0.1])),
        analysis.add(classified(0, [0.2, 0.7, 0.1])),
        analysis.add(classified(1, [0.1, 0.8, 0.1])),
        analysis.add(classified(1, [0.1, 0.9, 0.0])),
    ]
    assert [round(quality.value, 4) for quality in qualities] == [0.8, 0.2, 0.8, 0.9]
    assert analysis.add(BaseDataElement(pred_score=torch.ones(3))) is None
    parts = analysis.parts()
    rows = table(parts)
    assert list(rows['a'].values()) == ['a', 2, 1, 50, 100, pytest.approx(200 / 3)]
    assert list(rows['b'].values()) == ['b', 2, 3, 100, pytest.approx(200 / 3), pytest.approx(80)]
    assert list(rows['c'].values()) == ['c', 0, 0, None, None, None]
    assert part_of(parts, 'matrix').values == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    # .8 twice right, .7 wrong, .9 right: |1 - .8| / 2 + |0 - .7| / 4 + |1 - .9| / 4
    assert analysis.summary() == {
        'Top-1 %': 75,
        'Mean top-1 of the classes %': 75,
        'ECE %': pytest.approx(10 + 17.5 + 2.5, abs=1e-4),
    }
    assert analysis.class_values() == dict(a=50, b=100, c=None)


def test_the_best_five_of_many_classes():
    analysis = ClassAnalysis(list('abcdefg'))
    analysis.add(classified(4, [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]))
    analysis.add(classified(5, [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]))
    assert (analysis.summary()['Top-1 %'], analysis.summary()['Top-5 %']) == (0, 50)
    assert table(analysis.parts())['e']['Top-5 %'] == 100


def test_labels_without_scores():
    analysis = ClassAnalysis(['a', 'b'])
    sample = BaseDataElement(gt_label=torch.tensor([1]), pred_label=torch.tensor([0]))
    assert analysis.add(sample).value == 0
    assert part_of(analysis.parts(), 'matrix').values == [[0, 0], [1, 0]]
    assert 'ECE %' not in analysis.summary()
    assert not [part for part in analysis.parts() if part.form == 'reliability']


def test_a_matrix_of_many_classes_is_left_out():
    analysis = ClassAnalysis([str(number) for number in range(61)])
    analysis.add(classified(60, [1.0] + [0.0] * 60))
    parts = analysis.parts()
    assert [part.form for part in parts] == ['table', 'table', 'reliability']
    assert parts[1].rows == [['60', '0', 1, 100]]


def test_labels_of_classes():
    infos = [dict(gt_label=0), dict(gt_label=[0, 1]), dict(), dict(gt_label=np.array([1, 1]))]
    (part,) = ClassAnalysis.label_parts('Test data', infos, ['a', 'b', 'c'], 9)
    assert [row[1:] for row in part.rows] == [[2, 50], [2, 50], [0, 0]]
    assert part.note == '4 images, of which 1 have no label.'


# ------------------------------------------------------------------ several labels


def test_average_precisions_of_labels_are_those_of_mmpretrain():
    random = np.random.default_rng(1)
    scores = random.permutation(120).reshape(40, 3).astype(np.float32) / 130
    labels = (random.random((40, 3)) < 0.3).astype(int)
    analysis, metric = MultiLabelAnalysis(['a', 'b', 'c']), AveragePrecision(average=None)
    for row, truth in zip(scores, labels):
        sample = BaseDataElement(pred_score=torch.tensor(row), gt_score=torch.tensor(truth))
        analysis.add(sample)
        metric.process({}, [dict(pred_score=sample.pred_score, gt_score=sample.gt_score)])
    theirs = metric.evaluate(40)['multi-label/AP_classwise']
    assert list(analysis.class_values().values()) == pytest.approx(theirs, abs=1e-3)
    assert analysis.summary()['mAP %'] == pytest.approx(np.mean(theirs), abs=1e-3)
    found = reliability('', scores.reshape(-1), labels.reshape(-1), '')
    assert analysis.summary()['ECE %'] == found.ece


def test_several_labels_by_hand():
    analysis = MultiLabelAnalysis(['a', 'b'])
    label = torch.tensor
    first = BaseDataElement(pred_score=label([0.9, 0.5]), gt_score=label([1, 0]))
    quality = analysis.add(first)
    assert quality.value == pytest.approx(1 - (0.1 + 0.5) / 2) and quality.weight == 1
    analysis.add(BaseDataElement(pred_score=label([0.6, 0.2]), gt_label=label([1])))
    analysis.add(BaseDataElement(pred_score=label([0.7, 0.1]), gt_score=label([-1, 0])))
    nothing = analysis.add(BaseDataElement(pred_score=label([0.7, 0.1]), gt_score=label([-1, -1])))
    assert math.isnan(nothing.value)
    assert analysis.add(BaseDataElement(pred_score=label([0.7, 0.1]))) is None
    parts = analysis.parts()
    rows = table(parts)
    # a: .9 right, .6 wrong. b: .5 wrong, .2 right, .1 wrong.
    assert list(rows['a'].values())[:6] == ['a', 1, 2, 100, 50, 100]
    assert list(rows['b'].values())[:6] == ['b', 1, 1, 50, 0, 0]
    assert (rows['a']['Best F1 %'], rows['a']['at threshold']) == (100, pytest.approx(0.61))
    assert (rows['b']['Best F1 %'], rows['b']['at threshold']) == (
        pytest.approx(200 / 3),
        pytest.approx(0.11),
    )
    assert [part.form for part in parts] == ['table', 'curves', 'curves', 'reliability']


# ------------------------------------------------------------------ label maps


def label_maps(truth, predicted):
    return BaseDataElement(
        gt_sem_seg=PixelData(data=torch.as_tensor(truth)[None]),
        pred_sem_seg=PixelData(data=torch.as_tensor(predicted)[None]),
    )


def test_ious_are_those_of_mmseg():
    random = np.random.default_rng(3)
    names = ['a', 'b', 'c', 'absent']
    analysis, metric = LabelMapAnalysis(names), IoUMetric(iou_metrics=['mIoU', 'mFscore'])
    metric.dataset_meta = dict(classes=names)
    for _ in range(4):
        truth = random.integers(0, 3, (12, 15))
        predicted = np.where(random.random((12, 15)) < 0.6, truth, random.integers(0, 3, (12, 15)))
        truth[0, :5] = 255
        sample = label_maps(truth, predicted)
        analysis.add(sample)
        metric.process(
            {},
            [
                dict(
                    pred_sem_seg=dict(data=sample.pred_sem_seg.data),
                    gt_sem_seg=dict(data=sample.gt_sem_seg.data),
                )
            ],
        )
    theirs = metric.evaluate(4)
    summary, rows = analysis.summary(), table(analysis.parts())
    assert summary['mIoU %'] == pytest.approx(theirs['mIoU'], abs=0.006)
    assert summary['Mean accuracy of the classes %'] == pytest.approx(theirs['mAcc'], abs=0.006)
    assert summary['Accuracy of the pixels %'] == pytest.approx(theirs['aAcc'], abs=0.006)
    for column, name in (('Precision %', 'mPrecision'), ('F1 %', 'mFscore')):
        values = [row[column] for row in rows.values() if row[column] is not None]
        assert np.mean(values) == pytest.approx(theirs[name], abs=0.006)
    assert rows['absent']['IoU %'] is None and analysis.class_values()['absent'] is None


def test_label_maps_by_hand():
    analysis = LabelMapAnalysis(['a', 'b'])
    quality = analysis.add(label_maps([[0, 0, 1], [1, 255, 1]], [[0, 1, 1], [1, 0, 7]]))
    # a: 1 of 2; b: 2 of 4, for the pixel of no class is none of b.
    assert quality.value == pytest.approx((1 / 2 + 2 / 4) / 2) and quality.weight == 5
    rows = table(analysis.parts())
    accuracy = pytest.approx(200 / 3)
    assert list(rows['a'].values())[:6] == ['a', 1, 2, 1, 50, 50]
    assert list(rows['b'].values()) == ['b', 1, 3, 3, 50, accuracy, accuracy, accuracy]
    matrix = part_of(analysis.parts(), 'matrix')
    assert matrix.values == [[1, 1, 0], [0, 2, 1]] and matrix.columns == ['a', 'b', 'no class']
    assert math.isnan(analysis.add(label_maps([[255]], [[0]])).value)
    unlabelled = BaseDataElement(pred_sem_seg=PixelData(data=torch.zeros(1, 1, 1)))
    assert analysis.add(unlabelled) is None


def test_labels_of_maps(tmp_path):
    infos = [dict(img_path='unlabelled.png')]
    for number, values in enumerate(([[0, 1], [1, 255]], [[2, 2], [2, 2]], [[0, 0], [0, 1]])):
        path = tmp_path / f'{number}.png'
        Image.fromarray(np.array(values, np.uint8)).save(path)
        infos.append(dict(seg_map_path=str(path), reduce_zero_label=False, label_map=None))
    (part,) = LabelMapAnalysis.label_parts('Training data', infos, ['a', 'b', 'c'], 9)
    assert [(row[1], row[3]) for row in part.rows] == [(4, 2), (3, 2), (4, 1)]
    assert part.rows[0][2] == pytest.approx(400 / 11)
    assert '4 images, of which 1 have no label map. Counted are 3 label maps; 8.3 %' in part.note
    (part,) = LabelMapAnalysis.label_parts('Training data', infos, ['a', 'b', 'c'], 2)
    assert 'Counted are 2 label maps, evenly over the data set' in part.note
    assert [row[1] for row in part.rows] == [4, 3, 0]  # The first and the last
    for info in infos[1:]:
        info |= dict(reduce_zero_label=True, label_map={1: 0})
    (part,) = LabelMapAnalysis.label_parts('Training data', infos, ['a', 'b', 'c'], 9)
    assert [row[1] for row in part.rows] == [7, 0, 0]  # 1 is 0, and 2 is 1, which is 0
