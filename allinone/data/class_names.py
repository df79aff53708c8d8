"""Classes of a task's training, validation and test data, compared by name."""

import json
import os.path as osp
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import find_folders
from torch.utils.data import Dataset

from allinone.errors import ConfigError

METAINFO, CATEGORIES, FOLDERS = 'metainfo.classes', 'categories', 'class folders'
ClassLists = dict[str, list[str]]


def class_lists(dataset: Dataset) -> ClassLists:
    """``{what numbers the labels: class names in their order}`` of a data set after ``full_init``.

    Numbers that stand in for missing names are left out.
    """
    names = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    found = {}
    if names and names != [str(label) for label in range(len(names))]:
        found[METAINFO] = names
    if folders := getattr(dataset, 'folder_to_idx', None):
        found[FOLDERS] = list(folders)
    return found


def class_lists_of_config(cfg: Mapping) -> ClassLists:
    """As :func:`class_lists`, of a data set that is not to be loaded; its files may be absent.

    Args:
        cfg: Of the data set, with the scope of its library.
    """
    with DefaultScope.overwrite_default_scope('allinone'):
        try:
            dataset = MMENGINE_DATASETS.build(dict(cfg, lazy_init=True))
        except Exception:
            # A file that comes later, or a data set that cannot be lazy: testing checks it.
            return {}
    found = class_lists(dataset)
    # A file that is damaged or has no labels stops a test, not a training.
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        if METAINFO in found and _is_numbered_by_file(dataset) and osp.isfile(dataset.ann_file):
            with open(dataset.ann_file, encoding='utf-8') as text:
                names = [category['name'] for category in json.load(text)['categories']]
            if names := [name for name in names if name in found[METAINFO]]:
                found[CATEGORIES] = names
        elif isinstance(dataset, CustomDataset) and dataset.with_label and not dataset.ann_file:
            if osp.isdir(dataset.img_prefix) and (names := find_folders(dataset.img_prefix)[0]):
                found[FOLDERS] = names
    return found


def _is_numbered_by_file(dataset: Dataset) -> bool:
    """Whether labels follow the order of the file's categories, as in mmdet's own COCO sets."""
    return getattr(type(dataset), 'load_data_list', None) is CocoDataset.load_data_list


def require_same_classes(splits: Mapping[str, ClassLists]) -> None:
    """Refuse splits of a task that number their classes differently.

    Args:
        splits: ``{config key: class lists}``, training first.

    Raises:
        ConfigError: With both orders.
    """
    for kinds in ((METAINFO, CATEGORIES), (FOLDERS,)):
        first = None
        for key, kind, names in _lists(splits, kinds):
            if first is None:
                first = key, names
            elif names != first[1]:
                _refuse(*first, key, kind, names)


def _lists(
    splits: Mapping[str, ClassLists], kinds: Iterable[str]
) -> Iterable[tuple[str, str, list[str]]]:
    for key, lists in splits.items():
        for kind in kinds:
            if kind in lists:
                yield key, kind, lists[kind]


def _refuse(first: str, expected: Sequence[str], key: str, kind: str, names: Sequence[str]) -> None:
    advice = {
        METAINFO: 'give both the same metainfo.classes',
        CATEGORIES: 'write the categories of its annotation file in that order',
        FOLDERS: 'give both the same folders, one a class; a class without images has an empty one',
    }[kind]
    raise ConfigError(
        f'{key} numbers its classes by {kind} as {names}, but {first} as {list(expected)}, so one '
        f'label would stand for two classes; {advice}'
    )
