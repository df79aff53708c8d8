"""COCO files of a small grammar: metrics by a slow definition, or a refusal, nothing else."""

import json
import random

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric
from mmengine.registry import DefaultScope
from PIL import Image

from allinone.data.checks import check_dataset
from allinone.data.loaders import _build_dataset
from allinone.errors import AllInOneError
from allinone.evaluation.metrics import BACKENDS, DetectionMetric
from allinone.tasks import Detection

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
NAMES = ('car', 'sign', 'tree')
SIDE = 64


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for number in range(4):
        Image.new('RGB', (SIDE, SIDE)).save(folder / f'{number}.png')
    return folder


def made(rng: random.Random) -> tuple[dict, list]:
    """A COCO file, and the boxes ``(image, class, box, ignored)`` that it stands for."""
    numbers = rng.sample(range(1, 99), len(NAMES))
    numbers = sorted(numbers) if rng.random() < 0.5 else numbers
    ids = rng.sample(range(0, 50), 4)
    first = rng.choice([0, 0, 1, 7])
    boxes, annotations = [], []
    for image in range(4):
        for _ in range(rng.randint(0, 4)):
            x, y = rng.uniform(0, 40), rng.uniform(0, 40)
            box = [x, y, rng.uniform(8, 24), rng.uniform(8, 24)]
            label, ignored = rng.randrange(3), rng.random() < 0.15
            annotation = dict(
                id=first + len(annotations),
                image_id=ids[image],
                category_id=numbers[label],
                bbox=box,
                area=box[2] * box[3],
                iscrowd=0,
            )
            if ignored:
                annotation[rng.choice(['ignore', 'iscrowd'])] = 1
            for key in ('iscrowd', 'area'):
                if not annotation[key] or rng.random() < 0.3:
                    annotation.pop(key) if not ignored or key == 'area' else None
            if 'area' in annotation and rng.random() < 0.2:
                annotation['area'] = 0
            annotations.append(annotation)
            boxes.append((image, label, box, ignored))
    if rng.random() < 0.15:  # an exporter that numbers each image's boxes anew, or by names
        spell = rng.choice([lambda n: n % 3, lambda n: f'box{n}', lambda n: None])
        for number, annotation in enumerate(annotations):
            annotation['id'] = spell(number)
    content = dict(
        images=[
            dict(id=ids[n], file_name=f'{n}.png', width=SIDE, height=SIDE)
            for n in rng.sample(range(4), 4)
        ],
        categories=[dict(id=n, name=name) for n, name in zip(numbers, NAMES)],
        annotations=rng.sample(annotations, len(annotations)),
    )
    if rng.random() < 0.1:  # names in place of numbers
        for part in (*content['images'], *content['categories']):
            part['id'] = f'no. {part["id"]}'
        for annotation in annotations:
            for key in ('image_id', 'category_id'):
                annotation[key] = f'no. {annotation[key]}'
    if not annotations and rng.random() < 0.5:
        del content['annotations']
    return content, boxes


def broken(rng: random.Random, content: dict) -> str | None:
    """Spoil a file in a way that has to be refused; what was done, or None."""
    annotations = content.get('annotations') or []
    ways = ['category twice', 'image id twice', 'order', 'size', 'name gone']
    ways += ['unknown category'] * bool(annotations)
    if len(annotations) > 1 and any(
        a['image_id'] != annotations[0]['image_id'] for a in annotations
    ):
        ways.append('image twice')
    way = rng.choice(ways)
    if way == 'category twice':
        content['categories'].insert(1, dict(content['categories'][0]))
    elif way == 'image id twice':
        content['images'][1]['id'] = content['images'][0]['id']
    elif way == 'order':
        content['categories'].reverse()
    elif way == 'size':
        content['images'][2]['width'] += 1
    elif way == 'name gone':
        content['categories'].pop()
    elif way == 'unknown category':
        annotations[0]['category_id'] = 1234
    elif way == 'image twice':
        owner = {image['id']: image for image in content['images']}
        owner[annotations[0]['image_id']]['file_name'] = next(
            image['file_name']
            for image in content['images']
            if image['id'] != annotations[0]['image_id']
        )
    return way


def overlap(box, other, crowd: bool) -> float:
    wide = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    high = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    union = box[2] * box[3] + (0 if crowd else other[2] * other[3] - wide * high)
    return wide * high / union


def mean_precision(boxes, detections) -> float:
    """COCO's mAP by its definition: greedy matches by score, 101 recalls, 10 thresholds."""
    values = []
    for label in range(len(NAMES)):
        truth = [box for box in boxes if box[1] == label]
        wanted = sum(not ignored for *_, ignored in truth)
        if not wanted:
            continue
        found = sorted((d for d in detections if d[1] == label), key=lambda d: -d[3])
        for threshold in THRESHOLDS:
            taken, hits = set(), []
            for image, _, box, _ in found:
                best, chosen = threshold, None
                # Boxes to be found come before those that are ignored.
                for k, (owner, _, other, ignored) in sorted(
                    enumerate(truth), key=lambda pair: pair[1][3]
                ):
                    if owner != image or (k in taken and not ignored):
                        continue
                    if chosen is not None and not truth[chosen][3] and ignored:
                        break
                    iou = overlap(box, other, ignored)
                    if iou >= min(best, 1 - 1e-10):
                        best, chosen = iou, k
                if chosen is None:
                    hits.append(0)
                elif not truth[chosen][3]:
                    taken.add(chosen)
                    hits.append(1)
            right = np.cumsum(hits)
            recall = right / wanted
            precision = right / np.arange(1, len(hits) + 1)
            precision = np.maximum.accumulate(precision[::-1])[::-1] if len(hits) else precision
            places = np.searchsorted(recall, RECALLS, side='left')
            values.append(np.mean([precision[i] if i < len(hits) else 0 for i in places]))
    return float(np.mean(values)) if values else 0.0


def guesses(rng: random.Random, boxes) -> list:
    """Detections ``(image, class, box, score)``: shifted boxes, and some of nothing."""
    found = [
        (image, label if rng.random() < 0.9 else (label + 1) % 3, shifted, rng.random())
        for image, label, box, _ in boxes
        if rng.random() < 0.85
        for shifted in [[box[0] + rng.uniform(-3, 3), box[1] + rng.uniform(-3, 3), *box[2:]]]
    ]
    noise = [
        (rng.randrange(4), rng.randrange(3), [rng.uniform(0, 40), rng.uniform(0, 40), 12, 12])
        for _ in range(rng.randint(0, 4))
    ]
    return found + [(*guess, rng.random()) for guess in noise]


def measured(cls, file, images, content, detections) -> float:
    cfg = dict(
        type='mmdet.CocoDataset',
        ann_file=str(file),
        data_prefix=dict(img=str(images)),
        metainfo=dict(classes=NAMES),
        test_mode=True,
        pipeline=[],
    )
    with DefaultScope.overwrite_default_scope('allinone'):
        dataset = _build_dataset(cfg)
        check_dataset(dataset, len(NAMES), kind=Detection())
        metric = cls(ann_file=str(file), metric='bbox')
    metric.dataset_meta = dataset.metainfo
    Detection().prepare_metric(metric, dataset, len(NAMES))
    ids = {image['file_name']: image['id'] for image in content['images']}
    for image in range(4):
        own = [d for d in detections if d[0] == image]
        corners = np.array([d[2] for d in own]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        prediction = dict(
            img_id=ids[f'{image}.png'],
            bboxes=corners,
            scores=np.array([d[3] for d in own]),
            labels=np.array([d[1] for d in own], int),
        )
        metric.results.append(({}, prediction))
    return metric.compute_metrics(metric.results).get('bbox_mAP', 0.0)


def test_metrics_are_those_of_the_definition_or_the_file_is_refused(images, tmp_path, request):
    count = request.config.getoption('--coco-files')
    refused = compared = 0
    for seed in range(count):
        rng = random.Random(seed)
        content, boxes = made(rng)
        spoilt = broken(rng, content) if seed % 4 == 3 else None
        file = tmp_path / f'{seed}.json'
        file.write_text(json.dumps(content))
        detections = guesses(rng, boxes)
        cls = rng.choice([DetectionMetric, CocoMetric])
        try:
            value = measured(cls, file, images, content, detections)
        except AllInOneError as error:
            assert spoilt and '\n' not in str(error), (seed, spoilt, error)
            refused += 1
            continue
        assert spoilt is None, (seed, spoilt)
        expected = mean_precision(boxes, detections)
        # mmdet rounds to three places.
        assert max(value, 0) == pytest.approx(expected, abs=6e-4), (seed, cls.__name__)
        compared += 1
    assert compared > count / 2 and refused > count / 8


def test_faster_coco_eval_gives_the_values_of_pycocotools():
    """All twelve, to 1e-9, over made-up sets of several sizes."""
    from benchmarks.coco import evaluated, made_up

    for seed, (images, classes) in enumerate([(1, 1), (7, 3), (40, 5), (60, 80)]):
        coco, detections = made_up(images, classes, seed)
        slow, fast = (
            evaluated(cls, coco, detections) for cls in (BACKENDS[name] for name in BACKENDS)
        )
        np.testing.assert_allclose(fast, slow, atol=1e-9, rtol=0)
