"""Do annotations, pictures and the task's head fit? Found out before the first step."""

import json
import math
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from PIL import Image
from torch.utils.data import Dataset

from allinone.config.data_root import missing_data_set
from allinone.errors import DataError
from allinone.io.image_files import IGNORED, is_local, shown_size
from allinone.io.text import shortened

from .seeded import PICTURE_KEYS


def check_dataset(dataset: Dataset, num_classes: int | None, skip_corrupt: bool = False) -> None:
    """Check a data set of any of the three libraries by what it says of its samples.

    Classes without any sample are legal, and named in the log.

    Args:
        dataset: After ``full_init``. Wrappers and concatenations are checked part by part; one
            without ``get_data_info`` is not checked.
        num_classes: Of the task's head; None: labels are not compared with it.
        skip_corrupt: Leave label maps that cannot be read for training to skip.

    Raises:
        DataError: Naming the file and the value, for a missing picture or label map, a label
            outside ``num_classes``, categories that do not fit ``metainfo.classes``, or a label
            map of another size than its picture.
    """
    for part in getattr(dataset, 'datasets', ()):
        check_dataset(part, num_classes, skip_corrupt)
    if hasattr(dataset, 'dataset'):
        return check_dataset(dataset.dataset, num_classes, skip_corrupt)
    if hasattr(dataset, 'datasets') or not hasattr(dataset, 'get_data_info'):
        return
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if classes and num_classes is not None and len(classes) != num_classes:
        raise DataError(
            f'metainfo.classes has {len(classes)} names, but the head of the task has '
            f'num_classes={num_classes}; make them agree'
        )
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    _check_files(infos)
    if type(dataset).load_data_list is CocoDataset.load_data_list:
        _check_categories(dataset, classes)
    _check_labels(dataset, infos, classes, num_classes)
    if isinstance(dataset, BaseSegDataset):
        infos = [info for info in infos if info.get('seg_map_path')]
        _check_label_maps(dataset, infos, num_classes, skip_corrupt)


def _check_files(infos: list[dict]) -> None:
    wanted = defaultdict(set)
    for info in infos:
        for path in map(info.get, PICTURE_KEYS):
            if path and is_local(path):
                folder, name = os.path.split(path)
                wanted[folder].add(name)
    for folder, names in wanted.items():
        if not os.path.isdir(folder or '.'):
            remedy = missing_data_set(folder) or 'check data_root and data_prefix'
            raise DataError(f'the folder {folder} does not exist; {remedy}')
        missing = sorted(names.difference(os.listdir(folder or '.')))
        if missing:
            raise DataError(
                f'{len(missing)} of {len(names)} files are missing in {folder}: '
                f'{shortened(missing)}; add them, or take them off the annotations'
            )


def _check_labels(dataset: Dataset, infos: list[dict], classes, num_classes: int | None) -> None:
    seen = set()
    for info in infos:
        labels = [
            *np.atleast_1d(info.get('gt_label', [])),
            *(box['bbox_label'] for box in info.get('instances', ()) if 'bbox_label' in box),
        ]
        for label in labels:
            if num_classes is not None and not 0 <= label < num_classes:
                raise DataError(
                    f'{info.get("img_path")} has label {label}, but the head of the task has '
                    f'num_classes={num_classes}; labels are 0 to {num_classes - 1}'
                )
        seen.update(map(int, labels))
    absent = [name for label, name in enumerate(classes or ()) if label not in seen]
    if not seen and any('instances' in info for info in infos):
        print_log(f'{dataset.ann_file} has no box at all', 'current')
    if seen and absent:
        print_log(f'{dataset.ann_file} has no sample of class {shortened(absent)}', 'current')


def _check_pictures_and_boxes(file: str, images: list[dict], boxes: list[dict]) -> None:
    """What pycocotools and mmdet pass over: of one number two pictures, boxes of none, NaN."""
    sizes = {image['id']: (image.get('width'), image.get('height')) for image in images}
    if len(sizes) < len(images):
        number, count = Counter(image['id'] for image in images).most_common(1)[0]
        raise DataError(f'{file}: {count} pictures have the id {number}; give each its own')
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
        (lost, 'have an image_id that no picture has'),
        (outside, 'are smaller than a pixel or outside of their picture'),
    ):
        if count:
            print_log(f'{file}: {count} of {len(boxes)} boxes {why}, and take no part', 'current')


def _check_categories(dataset: Dataset, classes) -> None:
    """mmdet passes over categories it does not know, and takes their order from the file."""
    file = dataset.ann_file
    # Read again, for mmdet drops what it read.
    with get_local_path(file) as path, open(path, encoding='utf-8') as text:
        content = json.load(text)
    _check_pictures_and_boxes(file, content['images'], content.get('annotations', ()))
    _refuse_categories_listed_twice(file, content['categories'], classes)
    names = {category['id']: category['name'] for category in content['categories']}
    used = Counter(annotation['category_id'] for annotation in content.get('annotations', ()))
    unknown = {number: count for number, count in used.items() if number not in names}
    if unknown:
        number, count = next(iter(unknown.items()))
        raise DataError(
            f'{file}: {count} boxes have category_id {number}, which is not among its '
            f'categories {sorted(names)}; add the category, or mend the boxes'
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


def _check_label_maps(
    dataset: Dataset, infos: list[dict], num_classes: int | None, skip_corrupt: bool
) -> None:
    local = [info for info in infos if is_local(info['img_path'])]
    if not dataset.ann_file:
        _check_alone(dataset, local)
    ignored = getattr(dataset, 'ignore_index', IGNORED)
    with ThreadPoolExecutor() as pool:
        # Decoding leaves the interpreter lock.
        for _ in pool.map(
            lambda info: _check_label_map(info, num_classes, ignored, skip_corrupt), local
        ):
            continue


def _check_alone(dataset: Dataset, infos: list[dict]) -> None:
    """mmseg lists the pictures and takes their label maps; nobody asks for the other ones."""
    picture_suffix, label_suffix = dataset.img_suffix, dataset.seg_map_suffix
    folders = {
        os.path.dirname(info['seg_map_path']): os.path.dirname(info['img_path']) for info in infos
    }
    for folder, pictures in folders.items():
        known = set(os.listdir(pictures))
        alone = sorted(
            name
            for name in os.listdir(folder)
            if name.endswith(label_suffix)
            and name.removesuffix(label_suffix) + picture_suffix not in known
        )
        if alone:
            raise DataError(
                f'{len(alone)} label maps in {folder} have no {picture_suffix} '
                f'picture in {pictures}: {shortened(alone)}; add or remove them'
            )


def _check_label_map(info: dict, num_classes: int | None, ignored: int, skip_corrupt: bool) -> None:
    picture_path, label_path = info['img_path'], info['seg_map_path']
    try:
        with Image.open(label_path) as label_map:
            labels = np.asarray(label_map)
    except Exception as error:
        if skip_corrupt:
            return
        raise DataError(
            f'{label_path} is not a readable label map: {error}; repair it, or '
            'remove it and its picture'
        ) from error
    try:
        size = shown_size(picture_path)
    except Exception:
        return  # Met again, with its name and the rule of skip_corrupt, when it is loaded.
    if labels.shape[:2] != size[::-1]:
        raise DataError(
            f'{label_path} is {labels.shape[1]} x {labels.shape[0]}, but its picture '
            f'{picture_path} is {size[0]} x {size[1]}; make them of one size'
        )
    if labels.ndim != 2:
        raise DataError(
            f'{label_path} has {labels.shape[2]} channels; a label map has one, the class numbers'
        )
    if num_classes is None:
        return
    found = values = np.unique(labels).astype(int)
    if info.get('reduce_zero_label'):
        values = np.where((values == 0) | (values == IGNORED), IGNORED, values - 1)
    if info.get('label_map'):
        values = np.array([info['label_map'].get(int(value), value) for value in values])
    wrong = found[(values >= num_classes) & (values != ignored)]
    if len(wrong):
        raise DataError(
            f'{label_path} has label {wrong[0]}, but the head of the task has '
            f'num_classes={num_classes}; labels are 0 to {num_classes - 1}, and '
            f'{ignored} for ignored'
        )
