"""Classes of a task's training, validation and test data, compared by name."""

from collections.abc import Iterable, Mapping, Sequence

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope
from torch.utils.data import Dataset

from allinone.config.data_sets import innermost
from allinone.errors import ConfigError
from allinone.tasks import TaskKind
from allinone.tasks.class_lists import CATEGORIES, FOLDERS, METAINFO, ClassLists
from allinone.tasks.wrapped import wrapped_data_sets


def splits_of(key: str, dataset: Dataset, kind: TaskKind) -> dict[str, ClassLists]:
    """``{key: class lists}`` of a data set, or of each that it wraps or concatenates.

    Args:
        key: The config key of its dataloader.
        dataset: After ``full_init``. A wrapper may have classes that its data sets do not have;
            then its own count.
        kind: Of its task.
    """
    outer = kind.class_lists(dataset)
    parts = [kind.class_lists(part) for part in wrapped_data_sets(dataset)]
    if any(part.get(METAINFO) != outer.get(METAINFO) for part in parts):
        parts = [outer]
    return _numbered(key, parts)


def splits_of_config(key: str, cfg: Mapping, kind: TaskKind) -> dict[str, ClassLists]:
    """As :func:`splits_of`, of a data set that is not to be loaded."""
    parts = [dict(_scope_=scope) | dict(part) for scope, part in innermost(cfg)]
    return _numbered(key, [class_lists_of_config(part, kind) for part in parts])


def _numbered(key: str, parts: Sequence[ClassLists]) -> dict[str, ClassLists]:
    if len(parts) == 1:
        return {key: parts[0]}
    return {f'data set {number} of {key}': part for number, part in enumerate(parts)}


def class_lists_of_config(cfg: Mapping, kind: TaskKind) -> ClassLists:
    """``TaskKind.unloaded_class_lists`` of a data set that is not to be loaded.

    Args:
        cfg: Of the data set, with the scope of its library.
        kind: Of its task.
    """
    with DefaultScope.overwrite_default_scope('allinone'):
        try:
            dataset = MMENGINE_DATASETS.build(dict(cfg, lazy_init=True))
        except Exception:
            # A file that comes later, or a data set that cannot be lazy: testing checks it.
            return {}
    return kind.unloaded_class_lists(dataset)


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
