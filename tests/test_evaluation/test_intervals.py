"""Statistics of images against the metrics themselves on sets in which images are repeated."""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmpretrain.evaluation import Accuracy, AveragePrecision, SingleLabelMetric
from mmseg.evaluation import IoUMetric
from pycocotools.cocoeval import COCOeval

from allinone.errors import DataError
from allinone.evaluation import DetectionMetric
from allinone.evaluation.intervals import Resampling, interval, intervals, resampled_values
from allinone.evaluation.metrics import complete_annotations
from allinone.evaluation.run_statistics import (
    MetricStatistics,
    RunStatistics,
    read_statistics,
    write_statistics,
)
from allinone.tasks import Classification, Detection, Segmentation
from allinone.tasks.image_statistics import ImageMeans
from allinone.tasks.masks import encode_mask

IMAGES, CLASSES, SETS = 7, ('car', 'bus', 'sign'), 12
COCO_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


def multiplicities(seed, images=IMAGES):
    """``(images, 1 + SETS)``: each image once, then sets that are drawn."""
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), SETS)
    return np.concatenate([np.ones((images, 1), int), drawn.T], axis=1)


# ---------------------------------------------------------------------------- boxes


def scenes(seed, digits):
    """Annotated and detected boxes of a few images; scores of few digits have many ties."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(IMAGES):
        sizes = rng.choice([20, 60, 130], size=rng.integers(0, 6))
        boxes = [
            (int(rng.integers(3)), [*rng.integers(0, 250, 2).tolist(), int(size), int(size)])
            for size in sizes
        ]
        crowds = [bool(rng.random() < 0.2) for _ in boxes]
        detected = [
            (label if rng.random() < 0.8 else int(rng.integers(3)), jitter(rng, box))
            for label, box in boxes
            for _ in range(rng.integers(1, 4))
        ]
        detected += [
            (int(rng.integers(3)), [*rng.integers(0, 300, 2).tolist(), 30, 40])
            for _ in range(rng.integers(0, 3))
        ]
        scores = np.round(rng.random(len(detected)), digits)
        found.append((boxes, crowds, detected, scores))
    return found


def jitter(rng, box):
    return (np.array(box) + rng.integers(-4, 5, 4)).tolist()


def repeated_metric(kind, scenes, counts, path, **options):
    """A metric that has processed each image so many times, copies of one after each other."""
    order = [row for row, count in enumerate(counts) for _ in range(count)]
    annotations = [
        dict(
            image_id=number,
            category_id=label + 1,
            bbox=box,
            area=box[2] * box[3],
            iscrowd=int(crowd),
        )
        for number, row in enumerate(order, 1)
        for (label, box), crowd in zip(scenes[row][0], scenes[row][1])
    ]
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=400, height=400) for i in range(1, 99)],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)],
        annotations=[dict(annotation, id=i) for i, annotation in enumerate(annotations, 1)],
    )
    content['images'] = content['images'][: len(order)]
    path.write_text(json.dumps(content))
    metric = kind(ann_file=str(path), **options)
    complete_annotations(metric)
    metric.dataset_meta = dict(classes=CLASSES)
    for number, row in enumerate(order, 1):
        _, _, detected, scores = scenes[row]
        boxes = torch.tensor([box for _, box in detected], dtype=torch.float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = dict(
            bboxes=boxes,
            scores=torch.tensor(scores),
            labels=torch.tensor([label for label, _ in detected], dtype=torch.long),
        )
        sample = dict(img_id=number, ori_shape=(400, 400), pred_instances=instances)
        metric.process({}, [sample])
    return metric, list(metric.results)


class Unrounded(COCOeval):
    last = None

    def summarize(self):
        super().summarize()
        Unrounded.last = self.stats[:6].copy()


def by_brute_force(monkeypatch, scenes, counts, path, **options):
    monkeypatch.setattr('mmdet.evaluation.metrics.coco_metric.COCOeval', Unrounded)
    metric, _ = repeated_metric(CocoMetric, scenes, counts, path, **options)
    Unrounded.last = np.zeros(6)
    metric.evaluate(sum(counts))
    return Unrounded.last


def matches_of(metric, results, kind=None):
    (statistics,) = (kind or Detection()).statistics_of(
        metric, results, [f'{number}.jpg' for number in range(len(results))]
    )
    return statistics


@pytest.mark.parametrize(
    'digits, proposals', [(6, (100, 300, 1000)), (1, (100, 300, 1000)), (1, (1, 2, 3, 100))]
)
def test_average_precision_of_repeated_images(monkeypatch, tmp_path, digits, proposals):
    """With one digit, many detections of an image and of several have one score."""
    for seed in range(3):
        given = scenes(seed, digits)
        metric, results = repeated_metric(
            CocoMetric, given, [1] * IMAGES, tmp_path / 'all.json', proposal_nums=proposals
        )
        metric.evaluate(IMAGES)
        weights = multiplicities(seed)
        found = matches_of(metric, results).metrics(weights)
        assert set(found) == {f'bbox_{name}' for name in COCO_ITEMS}
        for column, counts in enumerate(weights.T):
            values = by_brute_force(
                monkeypatch, given, counts, tmp_path / 'some.json', proposal_nums=proposals
            )
            ours = np.array([found[f'bbox_{name}'][column] for name in COCO_ITEMS])
            assert np.nan_to_num(ours, nan=-1) == pytest.approx(values, abs=1e-6)
            assert (values > 0).sum() >= 2


def test_boxes_of_some_images_and_the_faster_backend(tmp_path):
    given = scenes(0, 1)
    metric, results = repeated_metric(
        DetectionMetric, given, [1] * IMAGES, tmp_path / 'all.json', classwise=True
    )
    values = metric.evaluate(IMAGES)
    statistics = matches_of(metric, results)
    found = statistics.metrics(np.ones((IMAGES, 1), int))
    assert {f'coco/{name}' for name in found} == set(values)
    for name, (value,) in found.items():
        assert value == pytest.approx(values[f'coco/{name}'], abs=5.01e-4), name
    # Without an image is as with the multiplicity 0.
    weights = np.ones((IMAGES, 1), int)
    weights[[1, 4]] = 0
    some = statistics.select(np.array([6, 0, 2, 5, 3]))
    assert some.images.tolist() == ['0.jpg', '2.jpg', '3.jpg', '5.jpg', '6.jpg']
    for name, value in some.metrics(np.ones((5, 1), int)).items():
        assert value == pytest.approx(statistics.metrics(weights)[name], abs=1e-12, nan_ok=True)


def test_masks_have_statistics_beside_boxes(tmp_path):
    """The annotated masks are the boxes; of each detection it is the left half of its box."""
    given = scenes(0, 3)
    metric, results = repeated_metric(DetectionMetric, given, [1] * IMAGES, tmp_path / 'all.json')
    metric.metrics = ['bbox', 'segm']
    for annotation in metric._coco_api.anns.values():
        x, y, width, height = annotation['bbox']
        annotation['segmentation'] = encode(x, y, width, height)
    for _, result in results:
        result['masks'] = [
            encode(*box[:2], (box[2] - box[0]) // 2, box[3] - box[1]) for box in result['bboxes']
        ]
    values = metric.evaluate(IMAGES)
    boxes, masks = Detection().statistics_of(metric, results, list('abcdefg'))
    found = boxes.metrics(np.ones((IMAGES, 1), int)) | masks.metrics(np.ones((IMAGES, 1), int))
    assert {f'coco/{name}' for name in found} == set(values) and len(values) == 12
    for name, (value,) in found.items():
        assert value == pytest.approx(values[f'coco/{name}'], abs=5.01e-4), name
    assert 0 < values['coco/segm_mAP_50'] < values['coco/bbox_mAP_50']


def encode(x, y, width, height):
    mask = np.zeros((400, 400), np.uint8, order='F')
    mask[int(max(y, 0)) : int(y + height), int(max(x, 0)) : int(x + width)] = 1
    return encode_mask(mask)


def test_no_detection_at_all_is_zero(tmp_path):
    given = [(boxes, crowds, [], np.zeros(0)) for boxes, crowds, _, _ in scenes(0, 1)]
    metric, results = repeated_metric(
        DetectionMetric, given, [1] * IMAGES, tmp_path / 'all.json', metric_items=['mAP', 'mAP_50']
    )
    metric.evaluate(IMAGES)
    found = matches_of(metric, results).metrics(multiplicities(0))
    assert (found['bbox_mAP'] == 0).all() and (found['bbox_mAP_50'] == 0).all()


# ---------------------------------------------------------------------------- label maps


def segmentation(maps, counts, **options):
    metric = IoUMetric(iou_metrics=['mIoU', 'mDice', 'mFscore'], **options)
    metric.dataset_meta = dict(classes=('road', 'sky', 'tree', 'sign', 'boat'))
    for (predicted, label), count in zip(maps, counts):
        sample = dict(
            pred_sem_seg=dict(data=torch.tensor(predicted)),
            gt_sem_seg=dict(data=torch.tensor(label)),
        )
        for _ in range(count):
            metric.process({}, [sample])
    return metric, list(metric.results)


@pytest.mark.parametrize('options', [dict(), dict(nan_to_num=0, beta=2)])
def test_areas_of_repeated_label_maps(options):
    rng = np.random.default_rng(0)
    # The class 4 is nowhere, 3 in one image alone; 255 is ignored.
    maps = [
        (rng.integers(0, 3 + (row == 2), (9, 9)), rng.choice([0, 1, 2, 255], (9, 9)))
        for row in range(IMAGES)
    ]
    metric, results = segmentation(maps, [1] * IMAGES, **options)
    metric.evaluate(IMAGES)
    (statistics,) = Segmentation().statistics_of(metric, results, list('abcdefg'))
    weights = multiplicities(0)
    found = statistics.metrics(weights)
    for column, counts in enumerate(weights.T):
        _, repeated = segmentation(maps, counts, **options)
        areas = [sum(part).double() for part in zip(*repeated)]
        per_class = IoUMetric.total_area_to_metrics(
            *areas, metric.metrics, metric.nan_to_num, metric.beta
        )
        for name, values in per_class.items():
            ours = found['aAcc' if name == 'aAcc' else f'm{name}'][column]
            assert ours == pytest.approx(100 * np.nanmean(values), abs=1e-6), name
        for name, value in zip(metric.dataset_meta['classes'], per_class['IoU']):
            assert found[f'IoU.{name}'][column] == pytest.approx(100 * value, nan_ok=True)
    whole = metric_values(segmentation(maps, [1] * IMAGES, **options)[0])
    for name, value in whole.items():
        assert found[name][0] == pytest.approx(value, abs=5.01e-3), name


def metric_values(metric):
    values = metric.evaluate(len(metric.results))
    return {name.split('/')[-1]: value for name, value in values.items()}


# ---------------------------------------------------------------------------- classes


def classified(kind, samples, counts, **options):
    metric = kind(**options)
    for sample, count in zip(samples, counts):
        for _ in range(count):
            metric.process({}, [sample])
    results = list(metric.results)
    return metric, results, metric_values(metric)


def compare_with_repeats(kind, samples, form, weights, **options):
    metric, results, _ = classified(kind, samples, [1] * len(samples), **options)
    names = [f'{row}.jpg' for row in range(len(samples))]
    (statistics,) = Classification().statistics_of(metric, results, names)
    assert statistics.form == form
    found = statistics.metrics(weights)
    for column, counts in enumerate(weights.T):
        _, _, values = classified(kind, samples, counts, **options)
        assert set(found) == set(values)
        for name, value in values.items():
            # These metrics are sums of 32 bits.
            assert found[name][column] == pytest.approx(value, abs=2e-5), name


@pytest.mark.parametrize(
    'kind, form, options',
    [
        (Accuracy, 'image_means', dict(topk=(1, 2))),
        (Accuracy, 'image_means', dict(topk=(1, 2), thrs=(0.0, 0.4, None))),
        (SingleLabelMetric, 'label_counts', dict()),
        (SingleLabelMetric, 'label_counts', dict(thrs=0.4, items=['precision', 'support'])),
        (SingleLabelMetric, 'label_counts', dict(average='micro', thrs=None)),
    ],
)
def test_one_class_of_each_of_repeated_images(kind, form, options):
    rng = np.random.default_rng(0)
    samples = [
        dict(
            pred_score=torch.tensor(rng.dirichlet(np.ones(4))),
            gt_label=torch.tensor([rng.choice(3)]),
        )
        for _ in range(9)
    ]
    compare_with_repeats(kind, samples, form, multiplicities(0, 9), **options)


def test_mean_average_precision_of_repeated_images_of_several_labels():
    """A class is in no image, and another is left out (-1) of one."""
    rng = np.random.default_rng(0)
    samples = [
        dict(
            pred_score=torch.tensor(rng.random(4), dtype=torch.float),
            gt_score=torch.tensor([*rng.integers(0, 2, 3), 0]),
        )
        for _ in range(9)
    ]
    samples[3]['gt_score'][1] = -1
    compare_with_repeats(AveragePrecision, samples, 'label_scores', multiplicities(0, 9))


def test_an_average_that_is_a_list_has_no_statistics():
    samples = [dict(pred_score=torch.tensor([0.7, 0.3]), gt_label=torch.tensor([0]))]
    for kind in (SingleLabelMetric, AveragePrecision):
        metric, results, _ = classified(kind, samples, [1], average=None)
        assert Classification().statistics_of(metric, results, ['a.jpg']) == []


# ---------------------------------------------------------------------------- resampling


def hits(values, images=None):
    """Statistics of an accuracy with these values of the images."""
    images = [f'{row}.jpg' for row in range(len(values))] if images is None else images
    arrays = dict(values=np.array(values, float)[:, None], labels=np.zeros(len(values), int))
    options = dict(names=['top1'], classes=['a', 'b'])
    return MetricStatistics(ImageMeans(np.array(images), arrays, options), dict(top1='top1'))


def run_of(path='a.statistics.npz', score=None, **tasks):
    return RunStatistics(
        path, 'c.py', 'c.pth', score or {}, {}, {task: [part] for task, part in tasks.items()}
    )


def test_the_interval_of_an_accuracy():
    """Of 100 images with 50 hits the standard error is 5 percent points."""
    found = intervals(run_of(cls=hits([0] * 50 + [100] * 50)))['cls/top1']
    assert found.value == 50
    assert found.error == pytest.approx(5, abs=0.3)
    assert (found.low, found.high) == pytest.approx((50 - 9.8, 50 + 9.8), abs=1.1)
    assert found == intervals(run_of(cls=hits([0] * 50 + [100] * 50)))['cls/top1']
    other = intervals(run_of(cls=hits([0] * 50 + [100] * 50)), seed=1)['cls/top1']
    assert other.error != found.error and other.value == 50


def test_an_image_of_several_tasks_comes_equally_often_in_each():
    images = dict(a=['1', '2', '3', '4'], b=['3', '4', '5', '6'], c=['7', '8', '9'])
    resampling = Resampling(images, 50)
    counts = {task: resampling.weights(np.array(names)) for task, names in images.items()}
    assert all((part[:, 0] == 1).all() for part in counts.values())
    # Each task has as many images as before, and images of the same tasks replace each other.
    for task, part in counts.items():
        assert (part.sum(0) == len(images[task])).all()
    assert (counts['a'][2:] == counts['b'][:2]).all() and (counts['a'][2:].sum(0) == 2).all()
    assert len(np.unique(counts['c'], axis=1).T) > 5
    # Rows of one name are one image, in any order.
    assert (resampling.weights(np.array(['9', '7', '7'])) == counts['c'][[2, 0, 0]]).all()


def test_the_score_is_of_the_same_resamplings():
    """Tasks that miss on opposite halves of the same images have a score without error."""
    score = {'a/top1': 1, 'b/top1': 1}
    run = run_of(score=score, a=hits([0] * 20 + [100] * 20), b=hits([100] * 20 + [0] * 20))
    found = intervals(run)
    assert found['a/top1'].error > 5
    assert (found['score'].low, found['score'].value, found['score'].high) == (50, 50, 50)
    apart = hits([100] * 20 + [0] * 20, [f'other{row}.jpg' for row in range(40)])
    found = intervals(run_of(score=score, a=run.tasks['a'][0], b=apart))
    assert found['score'].error == pytest.approx(found['a/top1'].error / 2**0.5, rel=0.1)


def test_what_is_undefined_has_no_interval():
    assert interval(np.array([np.nan, 1, 2, 3])) is None
    assert interval(np.array([1, 1, np.nan, np.nan])) is None
    found = interval(np.array([1, 1, 3, np.nan]))
    assert (found.value, found.low, found.high) == pytest.approx((1, 1.05, 2.95))


# ---------------------------------------------------------------------------- the file


def test_a_file_gives_the_same_values(tmp_path):
    metric, results = repeated_metric(CocoMetric, scenes(0, 1), [1] * IMAGES, tmp_path / 'a.json')
    metric.evaluate(IMAGES)
    boxes = matches_of(metric, results)
    names = {name: name for name in ('bbox_mAP', 'bbox_mAP_50')}
    run = run_of(f'{tmp_path}/a.npz', {'det/bbox_mAP': 100}, cls=hits([0, 100, 100]))
    run.tasks['det'] = [MetricStatistics(boxes, names)]
    write_statistics(run.path, run)
    again = read_statistics(run.path)
    assert again.score == run.score and again.images() == run.images()
    assert again.metric_names() == ['cls/top1', 'det/bbox_mAP', 'det/bbox_mAP_50']
    resampling = Resampling(run.images(), 30)
    ours, theirs = (resampled_values(part, resampling) for part in (run, again))
    assert set(ours) == {*run.metric_names(), 'score'}
    for name, values in ours.items():
        assert np.array_equal(values, theirs[name], equal_nan=True)


@pytest.mark.parametrize('content', [b'', b'PK', b'not a zip file', 'cut', 'other'])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / 'a.statistics.npz'
    write_statistics(str(path), run_of(cls=hits([0, 100])))
    if content == 'cut':
        content = path.read_bytes()[:-30]
    if content == 'other':
        np.savez(path, weights=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match='a.statistics.npz cannot be read.*--intervals') as error:
        read_statistics(path)
    assert '\n' not in str(error.value)


def test_files_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r'none.npz: no such file; make it with tools/test.py'):
        read_statistics(tmp_path / 'none.npz')
    with pytest.raises(DataError, match=r'has no file \*.statistics.npz; make it with tools/test'):
        read_statistics(tmp_path)
    for name in 'ab':
        write_statistics(f'{tmp_path}/{name}.statistics.npz', run_of(cls=hits([0, 100])))
        if name == 'a':
            assert read_statistics(tmp_path).path == f'{tmp_path}/a.statistics.npz'
    with pytest.raises(DataError, match=r"the files \['a.statistics.npz', 'b.*; name one of them"):
        read_statistics(tmp_path)
    monkeypatch.setattr(ImageMeans, 'form', 'later')
    with pytest.raises(DataError, match="of the form 'image_means'.*--import"):
        read_statistics(tmp_path / 'a.statistics.npz')
