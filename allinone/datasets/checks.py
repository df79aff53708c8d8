"""Do annotations, pictures and the task's head fit? Found out before the first step."""

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from allinone.errors import DataError

from .seeded import is_local

IGNORED = 255
SHOWN = 3


def check_dataset(dataset: Dataset, num_classes: int | None) -> None:
    """Check a data set of any of the three libraries by what it says of its samples.

    Args:
        dataset: After ``full_init``; one without ``get_data_info`` (a wrapper, say) is checked
            only if it wraps one that has it.
        num_classes: Of the task's head; None: labels are not compared with it.

    Raises:
        DataError: Naming the file and the value, for a missing picture or label map, a label
            outside ``num_classes``, categories that do not fit ``metainfo.classes``, or a label
            map of another size than its picture.
    """
    while not hasattr(dataset, 'get_data_info') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    if not hasattr(dataset, 'get_data_info'):
        return
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if classes and num_classes is not None and len(classes) != num_classes:
        raise DataError(f'metainfo.classes has {len(classes)} names, but the head of the task has '
                        f'num_classes={num_classes}; make them agree')
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    _check_files(infos)
    _check_labels(infos, num_classes)
    if getattr(dataset, 'coco', None) is not None:
        _check_categories(dataset, classes)
    if any(info.get('seg_map_path') for info in infos):
        _check_label_maps(dataset, infos, num_classes)


def _some(names) -> str:
    names = list(names)
    return ', '.join(map(str, names[:SHOWN])) + (
        f' and {len(names) - SHOWN} more' if len(names) > SHOWN else '')


def _check_files(infos: list[dict]) -> None:
    wanted = defaultdict(set)
    for info in infos:
        for path in (info.get('img_path'), info.get('seg_map_path')):
            if path and is_local(path):
                folder, name = os.path.split(path)
                wanted[folder].add(name)
    for folder, names in wanted.items():
        if not os.path.isdir(folder or '.'):
            raise DataError(f'the folder {folder} does not exist; check data_root and data_prefix')
        missing = sorted(names.difference(os.listdir(folder or '.')))
        if missing:
            raise DataError(f'{len(missing)} of {len(names)} files are missing in {folder}: '
                            f'{_some(missing)}')


def _check_labels(infos: list[dict], num_classes: int | None) -> None:
    if num_classes is None:
        return
    for info in infos:
        labels = np.atleast_1d(info.get('gt_label', []))
        labels = [*labels, *(box.get('bbox_label', 0) for box in info.get('instances', ()))]
        for label in labels:
            if not 0 <= label < num_classes:
                raise DataError(f'{info.get("img_path")} has label {label}, but the head of the '
                                f'task has num_classes={num_classes}')


def _check_categories(dataset: Dataset, classes) -> None:
    """mmdet passes over categories it does not know, and takes their order from the file."""
    file = dataset.ann_file
    names = {category['id']: category['name'] for category in dataset.coco.dataset['categories']}
    used = defaultdict(int)
    for annotation in dataset.coco.dataset['annotations']:
        used[annotation['category_id']] += 1
    unknown = {number: count for number, count in used.items() if number not in names}
    if unknown:
        number, count = next(iter(unknown.items()))
        raise DataError(f'{file}: {count} boxes have category_id {number}, which is not among its '
                        f'categories {sorted(names)}')
    absent = [name for name in classes if name not in names.values()]
    if absent:
        raise DataError(f'metainfo.classes has {_some(absent)}, which {file} does not; its '
                        f'categories are {list(names.values())}')
    ignored = (dataset.metainfo or {}).get('ignore_classes', ())
    extra = [name for number, name in names.items()
             if used[number] and name not in classes and name not in ignored]
    if extra:
        raise DataError(f'{file} has boxes of {_some(extra)}, which metainfo.classes does not '
                        f'have ({list(classes)}); add them, or list them in '
                        'metainfo.ignore_classes')
    order = [name for name in names.values() if name in classes]
    if order != list(classes):
        raise DataError(f'metainfo.classes is {list(classes)}, but {file} has them in the order '
                        f'{order}, and mmdet numbers them so; use that order')


def _check_label_maps(dataset: Dataset, infos: list[dict], num_classes: int | None) -> None:
    suffixes = getattr(dataset, 'img_suffix', None), getattr(dataset, 'seg_map_suffix', None)
    folders = {os.path.dirname(info['seg_map_path']) for info in infos if info.get('seg_map_path')}
    if all(suffixes) and all(is_local(folder) for folder in folders) and not dataset.ann_file:
        known = {info['seg_map_path'] for info in infos}
        alone = sorted(path for folder in folders for name in os.listdir(folder)
                       if name.endswith(suffixes[1])
                       and (path := os.path.join(folder, name)) not in known)
        if alone:
            raise DataError(f'{len(alone)} label maps have no picture {suffixes[0]}: '
                            f'{_some(alone)}')
    local = [info for info in infos if is_local(info['img_path'])]
    with ThreadPoolExecutor() as pool:
        # Decoding leaves the interpreter lock.
        for _ in pool.map(lambda info: _check_label_map(info, num_classes), local):
            continue


def _check_label_map(info: dict, num_classes: int | None) -> None:
    picture_path, label_path = info['img_path'], info['seg_map_path']
    try:
        with Image.open(label_path) as label_map:
            labels = np.asarray(label_map)
    except Exception as error:
        raise DataError(f'{label_path} is not a readable label map: {error}') from error
    try:
        with Image.open(picture_path) as picture:
            size = picture.size
    except Exception:
        return  # Met again, with its name and the rule of skip_corrupt, when it is loaded.
    if labels.shape[:2] != size[::-1]:
        raise DataError(f'{label_path} is {labels.shape[1]} x {labels.shape[0]}, but its picture '
                        f'{picture_path} is {size[0]} x {size[1]}')
    if labels.ndim != 2:
        raise DataError(f'{label_path} has {labels.shape[2]} channels; a label map has one')
    if num_classes is None:
        return
    values = np.unique(labels)
    if info.get('label_map'):
        values = np.array([info['label_map'].get(int(value), value) for value in values])
    if info.get('reduce_zero_label'):
        values = values[values != 0].astype(int) - 1
        values = values[values != IGNORED - 1]
    wrong = values[(values >= num_classes) & (values != IGNORED)]
    if len(wrong):
        raise DataError(f'{label_path} has label {int(wrong[0])}, but the head of the task has '
                        f'num_classes={num_classes} (and {IGNORED} for ignored)')
