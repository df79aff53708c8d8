"""COCO annotation files: what is checked of them, and what evaluation needs of them."""

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TypeGuard

from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from torch.utils.data import Dataset

from allinone.errors import DataError
from allinone.io.image_files import check_upright, is_local, shown_size
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
            print_log(
                f'{file}: {count} of {len(boxes)} boxes {why}, and take no part',
                'current',
                logging.WARNING,
            )


def check_categories(dataset: BaseDataset, classes) -> None:
    """mmdet passes over categories it does not know, and takes their order from the file."""
    file = dataset.ann_file
    # Read again, for mmdet drops what it read.
    with get_local_path(file) as path, open(path, encoding='utf-8') as text:
        content = json.load(text)
    _check_images_and_boxes(file, content['images'], content.get('annotations', ()))
    check_images_once(file, content)
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


@contextmanager
def reading_normalised() -> Iterator[None]:
    """Let mmdet's COCO sets that are built inside read normalised annotations."""
    from mmdet.datasets import CocoDataset

    class NormalisedCoco(CocoDataset.COCOAPI):
        def createIndex(self) -> None:
            normalise(self.dataset)
            super().createIndex()

    before = CocoDataset.COCOAPI
    CocoDataset.COCOAPI = NormalisedCoco
    try:
        yield
    finally:
        CocoDataset.COCOAPI = before


def normalise(content: dict) -> bool:
    """Fill in, in place, what exporters leave out of a COCO file; whether anything changed.

    Absent ``annotations`` are none. An absent ``iscrowd`` is 0. An ``area`` that is absent or not
    above 0 is that of the box. Ids of annotations become 1, 2, ... unless they are different whole
    numbers above 0: pycocotools would mix annotations of one id, and takes 0 for none. Training and
    evaluation both read annotations in this form.
    """
    changed = 'annotations' not in content
    annotations = content.setdefault('annotations', [])
    ids = {annotation.get('id') for annotation in annotations}
    if len(ids) < len(annotations) or not all(isinstance(i, int) and i > 0 for i in ids):
        changed = True
        for number, annotation in enumerate(annotations, 1):
            annotation['id'] = number
    for annotation in annotations:
        if 'iscrowd' not in annotation:
            annotation['iscrowd'] = 0
            changed = True
        if not annotation.get('area', 0) > 0 and 'bbox' in annotation:
            area = annotation['bbox'][2] * annotation['bbox'][3]
            changed = changed or annotation.get('area') != area
            annotation['area'] = area
    return changed


def complete_annotations(metric: BaseMetric) -> None:
    """Make the annotations that a COCO metric compares with as COCO's evaluation expects them.

    They are those that training reads (:func:`normalise`). COCO's evaluation does not know
    ``ignore``, whose boxes training leaves out, so such a box counts as a crowd: a detection of it
    is neither right nor wrong. Other files are left as they are.

    Args:
        metric: Changed in place; one without an annotation file stays as it is.
    """
    coco = getattr(metric, '_coco_api', None)  # LVIS has another one.
    if coco is None:
        return
    changed = normalise(coco.dataset)
    annotations = coco.dataset['annotations']
    for annotation in annotations:
        if annotation.get('ignore') and not annotation['iscrowd']:
            annotation['iscrowd'] = 1
            changed = True
    if changed:
        with redirect_stdout(None):  # It prints.
            coco.createIndex()


def fit_to_dataset(metric: BaseMetric, dataset: Dataset) -> None:
    """Let a COCO metric number categories as the data set does, and evaluate the images of it.

    Args:
        metric: Changed in place; one without an annotation file stays as it is.
        dataset: What is evaluated.

    Raises:
        DataError: If the metric's annotation file lacks a class or an image of the data set, or
            has another image under the same id.
    """
    coco = getattr(metric, '_coco_api', None)  # LVIS has another one.
    if coco is None:
        return
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    numbers = {category['name']: number for number, category in coco.cats.items()}
    classes = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    lacking = [name for name in classes if name not in numbers]
    if lacking:
        raise DataError(
            f'its annotation file has no category {shortened(lacking)}, which the data set has; '
            f'its categories are {shortened(numbers, 6)}'
        )
    if classes:
        # mmdet would take them in the order of the file.
        metric.cat_ids = [numbers[name] for name in classes]
    if not is_numbered_by_file(dataset):
        return
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    strange = [info for info in infos if info['img_id'] not in coco.imgs]
    if strange:
        raise DataError(
            f'its annotation file lacks {len(strange)} of {len(infos)} images of the data set, '
            f'such as id {strange[0]["img_id"]} ({strange[0]["img_path"]}); give both the same '
            'images'
        )
    for info in infos:
        name = coco.imgs[info['img_id']].get('file_name')
        if name and os.path.basename(name) != os.path.basename(info['img_path']):
            raise DataError(
                f'its annotation file has {name} under the id {info["img_id"]}, and the data set '
                f'{info["img_path"]}; give both the same images'
            )
    if len(infos) < len(coco.imgs):
        metric.img_ids = [info['img_id'] for info in infos]
        print_log(
            f'{len(infos)} of the {len(coco.imgs)} images of the annotation file are evaluated',
            'current',
            logging.WARNING,
        )


def check_sizes(file: str, infos: Sequence[dict]) -> None:
    """Compare the sizes of images in an annotation file with the images as they are decoded.

    Raises:
        DataError: If they differ, or an image is not decoded as it is shown.
    """
    local = [info for info in infos if is_local(info['img_path']) and info.get('width')]
    with ThreadPoolExecutor() as pool:
        for info, size in zip(local, pool.map(_size, [info['img_path'] for info in local])):
            listed = (info['width'], info['height'])
            if size is not None and size != listed:
                turned = size == listed[::-1]
                raise DataError(
                    f'{file} says that {info["img_path"]} is {listed[0]} x {listed[1]}, but it is '
                    f'{size[0]} x {size[1]}'
                    + (' as its EXIF orientation turns it' if turned else '')
                    + '; its boxes would be elsewhere: annotate the image as it is'
                )


def _size(path: str) -> tuple[int, int] | None:
    try:
        check_upright(path)
        return shown_size(path)
    except DataError:
        raise
    except Exception:
        return None  # Met again, with its name and the rule of skip_corrupt, when it is loaded.


def check_masks(file: str, infos: Sequence[dict]) -> None:
    """Refuse boxes without a mask where a pipeline loads masks (``with_mask=True``).

    Raises:
        DataError: If there are any.
    """
    lacking = [info['img_path'] for info in infos for box in info['instances'] if 'mask' not in box]
    if lacking:
        raise DataError(
            f'{file}: {len(lacking)} annotations have no segmentation, as in {lacking[0]}, but the '
            'pipeline loads masks (with_mask=True); add them, or take these annotations out'
        )


def check_images_once(file: str, content: dict) -> None:
    """Refuse a file that lists one image under several ids, with its boxes shared out.

    Raises:
        DataError: If so; copies with the same boxes are only named in the log.
    """
    ids: dict[str, list] = {}
    for image in content['images']:
        ids.setdefault(image['file_name'], []).append(image['id'])
    copies = {name: numbers for name, numbers in ids.items() if len(numbers) > 1}
    if not copies:
        return
    boxes: dict = {}
    for annotation in content.get('annotations', ()):
        boxes.setdefault(annotation['image_id'], []).append(
            (annotation['category_id'], tuple(annotation['bbox']))
        )
    for name, numbers in copies.items():
        first, *others = (sorted(boxes.get(number, [])) for number in numbers)
        if any(other != first for other in others):
            raise DataError(
                f'{file} lists {name} under the ids {shortened(numbers)} with different boxes, so '
                'each copy lacks those of the others; give the image one entry with all its boxes'
            )
    print_log(
        f'{file} lists {len(copies)} images several times, with equal boxes',
        'current',
        logging.WARNING,
    )
