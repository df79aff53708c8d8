"""Checks of COCO annotation files, made before the first step."""

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mmengine.dataset import BaseDataset
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from allinone.errors import DataError
from allinone.io.file_facts import FileFacts
from allinone.io.image_files import decoded_size, is_local
from allinone.io.text import shortened

from .annotated_classes import ANNOTATED


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
    annotated = (dataset.metainfo or {}).get(ANNOTATED, classes)
    lacking = [name for name in absent if name in annotated]
    if lacking:
        raise DataError(
            f'metainfo.classes has {shortened(lacking)}, which {file} does not have; use '
            f'the names of its categories, {list(names.values())}, or, if it does not annotate '
            f'all classes, name those that it does in metainfo.{ANNOTATED}'
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
    if order != list(classes) and not absent:
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


def check_sizes(file: str, infos: Sequence[dict]) -> None:
    """Compare the sizes of images in an annotation file with the images as they are decoded.

    Raises:
        DataError: If they differ, or an image is not decoded as it is shown.
    """
    local = [info for info in infos if is_local(info['img_path']) and info.get('width')]
    if not local:
        return
    facts: FileFacts[list[int]] = FileFacts('decoded sizes', os.path.dirname(local[0]['img_path']))

    def size_of(info: dict) -> tuple[int, ...] | None:
        try:
            return tuple(facts.of(info['img_path'], decoded_size))
        except DataError:
            raise
        except Exception:
            return None  # Met again, with its name and the rule of skip_corrupt, when loaded.

    with ThreadPoolExecutor() as pool:
        for info, size in zip(local, pool.map(size_of, local)):
            listed = (info['width'], info['height'])
            if size is not None and size != listed:
                turned = size == listed[::-1]
                raise DataError(
                    f'{file} says that {info["img_path"]} is {listed[0]} x {listed[1]}, but it is '
                    f'{size[0]} x {size[1]}'
                    + (' as its EXIF orientation turns it' if turned else '')
                    + '; its boxes would be elsewhere: annotate the image as it is'
                )
    facts.save()


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
