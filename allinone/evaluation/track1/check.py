"""Checks of a Track 1 submission, alone and against the annotations, and its score."""

import json
import math
import os
import os.path as osp
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from mmpretrain.evaluation import Accuracy
from PIL import Image

from allinone.data.datasets.image_list import ImageListDataset
from allinone.errors import DataError
from allinone.evaluation.metrics import DetectionMetric, SegmentationMetric
from allinone.evaluation.score import combined_score
from allinone.io.image_files import IGNORED
from allinone.io.text import cut_short, shortened

from .polygons import MIN_POINTS, decode_label_map

SECTIONS = dict(cls=dict, dec=list, seg=dict)
BOX_KEYS = {'image_id', 'category_id', 'bbox', 'score'}
MEMBERS = {'cls/top1': 1, 'dec/bbox_mAP_50': 100, 'seg/mIoU': 1}


def read_submission(path: str | os.PathLike) -> dict:
    """The content of a file.

    Raises:
        DataError: If it cannot be read, or holds no JSON object.
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise DataError(f'{path} cannot be read as JSON: {error}') from error
    if not isinstance(content, dict):
        raise DataError(f'{path} holds {type(content).__name__}; it must be an object')
    return content


def faults(content: Mapping) -> Iterator[str]:
    """What is wrong in the form of a submission, each fault with its place."""
    for section in content.keys() - SECTIONS.keys():
        yield f'{section!r} is no section; the sections are {list(SECTIONS)}'
    for section, kind in SECTIONS.items():
        if section not in content:
            yield f'{section!r} is missing'
        elif not isinstance(content[section], kind):
            wanted = 'an object' if kind is dict else 'a list'
            yield f'{section!r} is {_short(content[section])}; it must be {wanted}'
        else:
            yield from FORMS[section](content[section])


def _class_faults(classes: Mapping) -> Iterator[str]:
    for name, label in classes.items():
        if not _is_count(label):
            yield f'cls[{name!r}] is {_short(label)}; it must be a class number'


def _box_faults(boxes: list) -> Iterator[str]:
    for index, box in enumerate(boxes):
        place = f'dec[{index}]'
        if not isinstance(box, dict) or not BOX_KEYS <= box.keys():
            yield f'{place} is {_short(box)}; it must have {sorted(BOX_KEYS)}'
            continue
        for key in ('image_id', 'category_id'):
            if not _is_count(box[key]):
                yield f'{place}[{key!r}] is {_short(box[key])}; it must be a whole number'
        corners = box['bbox']
        if (
            not isinstance(corners, list)
            or len(corners) != 4
            or not all(map(_is_number, corners))
            or min(corners[2:]) < 0
        ):
            yield f"{place}['bbox'] is {_short(corners)}; it must be [x, y, width, height]"
        if not _is_number(box['score']) or not 0 <= box['score'] <= 1:
            yield f"{place}['score'] is {_short(box['score'])}; it must be from 0 to 1"


def _map_faults(maps: Mapping) -> Iterator[str]:
    for name, classes in maps.items():
        place = f'seg[{name!r}]'
        if not isinstance(classes, dict):
            yield f'{place} is {_short(classes)}; it must be an object of class numbers'
            continue
        for number, polygons in classes.items():
            if not number.isdecimal() or int(number) >= IGNORED:
                yield f'{place} has {number!r}; it must be a class number'
            if not isinstance(polygons, list):
                yield f'{place}[{number!r}] is {_short(polygons)}; it must be a list of polygons'
                continue
            for index, polygon in enumerate(polygons):
                if not _is_polygon(polygon):
                    yield (
                        f'{place}[{number!r}][{index}] is {_short(polygon)}; it must be a list of '
                        'points [x, y]'
                    )


FORMS: dict[str, Callable[..., Iterator[str]]] = dict(
    cls=_class_faults, dec=_box_faults, seg=_map_faults
)


def _is_polygon(polygon) -> bool:
    if not isinstance(polygon, list):
        return False
    if len(polygon) < MIN_POINTS:
        # Not drawn. The published encoder writes a single pixel as [x, y], not [[x, y]].
        return True
    return all(isinstance(p, list) and len(p) == 2 and all(map(_is_number, p)) for p in polygon)


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and type(value) is not bool and math.isfinite(value)


def _short(value) -> str:
    return cut_short(repr(value))


class Annotations:
    """What a submission is compared with: a split of a folder in Track 1's layout.

    Args:
        root: Holds ``cls``, ``dec`` and ``seg``.
        split: ``val`` or ``train``.

    Raises:
        DataError: If something of it is missing or cannot be read.
    """

    def __init__(self, root: str | os.PathLike, split: str = 'val'):
        paths = {
            section: osp.join(root, *parts)
            for section, parts in dict(
                cls=('cls', f'{split}.txt'),
                dec=('dec', f'{split}.json'),
                seg=('seg', 'label', split),
            ).items()
        }
        for path in paths.values():
            if not osp.exists(path):
                raise DataError(
                    f"{path} is missing; give a folder in Track 1's layout with the split {split!r}"
                )
        samples = ImageListDataset(paths['cls'], lazy_init=True).load_data_list()
        self.labels = {osp.basename(sample['img_path']): sample['gt_label'] for sample in samples}
        self.boxes_file = paths['dec']
        try:
            with open(self.boxes_file, encoding='utf-8') as file:
                boxes = json.load(file)
            self.images = {image['id'] for image in boxes['images']}
            self.categories = {part['id']: part['name'] for part in boxes['categories']}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{self.boxes_file} is no COCO annotation file: {error!r}') from error
        self.maps = {
            osp.splitext(name)[0]: osp.join(paths['seg'], name)
            for name in sorted(os.listdir(paths['seg']))
        }


def misfits(content: Mapping, annotations: Annotations) -> Iterator[str]:
    """Where a well-formed submission does not fit the annotations."""
    stems = {osp.splitext(name)[0] for name in content['seg']}
    for section, given, known in (
        ('cls', set(content['cls']), set(annotations.labels)),
        ('seg', stems, set(annotations.maps)),
    ):
        for names, what in (
            (known - given, 'lacks'),
            (given - known, 'has, and the annotations do not,'),
        ):
            if names:
                some = shortened(sorted(names))
                yield f'{section!r} {what} {len(names)} of {len(known)} images: {some}'
    for key, ids in (
        ('image_id', annotations.images),
        ('category_id', annotations.categories),
    ):
        unknown = {
            box[key]: index
            for index, box in reversed(list(enumerate(content['dec'])))
            if box[key] not in ids
        }
        for number, index in unknown.items():
            yield f'dec[{index}][{key!r}] is {number}, which {annotations.boxes_file} does not have'
    for name, classes in content['seg'].items():
        path = annotations.maps.get(osp.splitext(name)[0])
        if path is None:
            continue
        width, height = _size(path)
        for number, polygons in classes.items():
            for index, polygon in enumerate(polygons):
                if len(polygon) < MIN_POINTS:
                    continue
                low, high = np.min(polygon, 0), np.max(polygon, 0)
                if low.min() < 0 or high[0] >= width or high[1] >= height:
                    yield (
                        f'seg[{name!r}][{number!r}][{index}] goes from {low.tolist()} to '
                        f'{high.tolist()}, but the image is {width} x {height}'
                    )


def score(content: Mapping, annotations: Annotations) -> dict[str, float]:
    """Top-1, mAP50 and mIoU by the metrics that testing uses, and the mean of the three.

    Args:
        content: A submission without faults.
        annotations: That it fits.
    """
    metrics = {
        'cls/top1': _accuracy(content['cls'], annotations.labels),
        **{f'dec/{k}': v for k, v in _precision(content['dec'], annotations).items()},
        **{f'seg/{k}': v for k, v in _overlap(content['seg'], annotations.maps).items()},
    }
    return metrics | combined_score(metrics, MEMBERS, 'MEMBERS')


def _accuracy(predicted: Mapping[str, int], labels: Mapping[str, int]) -> float:
    found = torch.tensor([predicted[name] for name in labels])
    return Accuracy.calculate(found, torch.tensor(list(labels.values()))).item()


def _precision(boxes: list[dict], annotations: Annotations) -> dict[str, float]:
    metric = DetectionMetric(ann_file=annotations.boxes_file, metric='bbox')
    metric.dataset_meta = dict(classes=list(annotations.categories.values()))
    labels = {number: label for label, number in enumerate(annotations.categories)}
    by_image: dict[int, list] = {number: [] for number in annotations.images}
    for box in boxes:
        by_image[box['image_id']].append(box)
    for number, found in by_image.items():
        left_top_size = np.array([box['bbox'] for box in found]).reshape(-1, 4)
        left_top_size[:, 2:] += left_top_size[:, :2]
        prediction = dict(
            img_id=number,
            bboxes=left_top_size,
            scores=np.array([box['score'] for box in found]),
            labels=np.array([labels[box['category_id']] for box in found], int),
        )
        metric.results.append(({}, prediction))
    values = metric.compute_metrics(metric.results)
    return {name: values[name] for name in ('bbox_mAP', 'bbox_mAP_50')}


def _overlap(maps: Mapping[str, Mapping], label_maps: Mapping[str, str]) -> dict[str, float]:
    metric = SegmentationMetric(iou_metrics=['mIoU'])
    by_stem = {osp.splitext(name)[0]: classes for name, classes in maps.items()}
    truths = {stem: _labels(path) for stem, path in label_maps.items()}
    classes = {int(number) for found in by_stem.values() for number in found}
    for labels in truths.values():
        classes.update(np.unique(labels[labels != IGNORED]).tolist())
    count = max(classes, default=0) + 1
    metric.dataset_meta = dict(classes=list(map(str, range(count))))
    for stem, labels in truths.items():
        drawn = torch.from_numpy(decode_label_map(by_stem[stem], labels.shape))
        metric.results.append(
            metric.intersect_and_union(drawn, torch.from_numpy(labels), count, IGNORED)
        )
    found = metric.compute_metrics(metric.results)
    return {name: found[name] for name in ('aAcc', 'mIoU')}


def _labels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def _size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size
