"""COCO annotation files: what is checked of them, and what evaluation needs of them."""

import json
import math
from collections import Counter
from contextlib import redirect_stdout, suppress
from typing import TypeGuard

from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from torch.utils.data import Dataset

from allinone.errors import DataError
from allinone.io.text import shortened

BOX_METRICS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_SET = 'mmdet.datasets.coco', 'CocoDataset.load_data_list'


def is_numbered_by_file(dataset: Dataset) -> TypeGuard[BaseDataset]:
    """Whether labels follow the order of the file's categories, as in mmdet's own COCO sets."""
    reads = getattr(type(dataset), 'load_data_list', None)
    return (getattr(reads, '__module__', None), getattr(reads, '__qualname__', None)) == COCO_SET


def listed_categories(path: str) -> list[str]:
    """Names of a file's categories in their order; none of a file that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        with open(path, encoding='utf-8') as text:
            return [category['name'] for category in json.load(text)['categories']]
    return []


def _check_images_and_boxes(file: str, images: list[dict], boxes: list[dict]) -> None:
    """What pycocotools and mmdet pass over: of one number two images, boxes of none, NaN."""
    sizes = {image['id']: (image.get('width'), image.get('height')) for image in images}
    if len(sizes) < len(images):
        number, count = Counter(image['id'] for image in images).most_common(1)[0]
        raise DataError(f'{file}: {count} images have the id {number}; give each its own')
    lost = outside = 0
    for box in boxes:
        if box['image_id'] not in sizes:
            lost += 1
            continue
        if box.get('ignore'):
            continue
        x, y, width, height = box['bbox']
        if not all(map(math.isfinite, box['bbox'])):
            raise DataError(
                f'{file}: the box with id {box.get("id")} has bbox {box["bbox"]}; give numbers'
            )
        right, bottom = sizes[box['image_id']]
        inside = -width < x < right and -height < y < bottom
        outside += width < 1 or height < 1 or not inside
    for count, why in (
        (lost, 'have an image_id that no image has'),
        (outside, 'are smaller than a pixel or outside of their image'),
    ):
        if count:
            print_log(f'{file}: {count} of {len(boxes)} boxes {why}, and take no part', 'current')


def check_categories(dataset: BaseDataset, classes) -> None:
    """mmdet passes over categories it does not know, and takes their order from the file."""
    file = dataset.ann_file
    # Read again, for mmdet drops what it read.
    with get_local_path(file) as path, open(path, encoding='utf-8') as text:
        content = json.load(text)
    _check_images_and_boxes(file, content['images'], content.get('annotations', ()))
    _refuse_categories_listed_twice(file, content['categories'], classes)
    names = {category['id']: category['name'] for category in content['categories']}
    used = Counter(annotation['category_id'] for annotation in content.get('annotations', ()))
    unknown = {number: count for number, count in used.items() if number not in names}
    if unknown:
        number, count = next(iter(unknown.items()))
        raise DataError(
            f'{file}: {count} boxes have category_id {number}, which is not among its '
            f'categories {sorted(names)}; add the category, or fix the boxes'
        )
    absent = [name for name in classes if name not in names.values()]
    if absent:
        raise DataError(
            f'metainfo.classes has {shortened(absent)}, which {file} does not have; use '
            f'the names of its categories, {list(names.values())}'
        )
    ignored = (dataset.metainfo or {}).get('ignore_classes', ())
    extra = [
        name
        for number, name in names.items()
        if used[number] and name not in classes and name not in ignored
    ]
    if extra:
        raise DataError(
            f'{file} has boxes of {shortened(extra)}, which metainfo.classes does not '
            f'have ({list(classes)}); add them, or list them in '
            'metainfo.ignore_classes'
        )
    order = [name for name in names.values() if name in classes]
    if order != list(classes):
        raise DataError(
            f'metainfo.classes is {list(classes)}, but {file} has them in the order '
            f'{order}, and mmdet numbers them so; write the categories of the file in the order of '
            'metainfo.classes, or, if the files of all splits have this order, metainfo.classes of '
            'all splits'
        )


def _refuse_categories_listed_twice(file: str, categories: list[dict], classes) -> None:
    """pycocotools lists the number of such a category twice, which shifts all labels after it."""
    for key in ('id', 'name'):
        values = Counter(category[key] for category in categories)
        for category in categories:
            if category['name'] in classes and values[category[key]] > 1:
                twice = [
                    f'{other["name"]!r} (id {other["id"]})'
                    for other in categories
                    if other[key] == category[key]
                ]
                raise DataError(
                    f'{file} lists the {key} {category[key]!r} {len(twice)} times among its '
                    f'categories, {shortened(twice)}; leave one entry a category'
                )


def complete_annotations(metric: BaseMetric) -> None:
    """Make the annotations that a COCO metric compares with as COCO's evaluation expects them.

    It takes an annotation of id 0 for none, and needs ``iscrowd``, which many exporters leave out.
    Ids become 1, 2, ... and an absent ``iscrowd`` 0; other files are left as they are.

    Args:
        metric: Changed in place; one without an annotation file stays as it is.
    """
    coco = metric._coco_api
    annotations = coco.dataset.get('annotations', ()) if coco is not None else ()
    if all(annotation['id'] and 'iscrowd' in annotation for annotation in annotations):
        return
    for number, annotation in enumerate(annotations, 1):
        annotation['id'] = number
        annotation.setdefault('iscrowd', 0)
    with redirect_stdout(None):  # It prints.
        coco.createIndex()
