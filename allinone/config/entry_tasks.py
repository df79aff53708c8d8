"""The tasks that an entry of ``data`` serves, and its parts that are keyed by task."""

import os.path as osp
from collections import Counter
from collections.abc import Sequence

from allinone.errors import ConfigError

from .sources import TASKS, labels_of

PARTS = (
    *('train_dataloader', 'val_dataloader', 'val_evaluator'),
    *('test_dataloader', 'test_evaluator'),
    *('val_references', 'test_references'),
)


def tasks_in(entry) -> tuple[str, ...] | None:
    """``tasks`` in the loaders of an entry; None if none of them has it."""
    loaders = [dict.get(entry, part) for part in PARTS if part.endswith('_dataloader')]
    found = [dict.get(part, TASKS) for part in loaders if isinstance(part, dict) and TASKS in part]
    return tuple(found[0]) if found and isinstance(found[0], (list, tuple)) else None


def tasks_served_by(source: str, entry: dict) -> tuple[str, ...]:
    return tasks_in(entry) or (source,)


def is_by_task(part: str, entry: dict) -> bool:
    """Whether this part of an entry is keyed by task."""
    return part.endswith('_evaluator') and tasks_in(entry) is not None


def check_by_task(key: str, entry: dict, served: Sequence[str]) -> None:
    """Check the parts of an entry with ``tasks``, which are keyed by task."""
    evaluators = [part for part in PARTS if part.endswith('_evaluator')]
    for part in ('num_classes', 'classes', *evaluators):
        value = dict.get(entry, part)
        if value is None:
            continue
        if not isinstance(value, dict) or not set(value) <= set(served):
            what = sorted(map(str, value)) if isinstance(value, dict) else repr(value)
            raise ConfigError(
                f'{key}.{part} is {what}, but the source serves {list(served)}; key it by task, as '
                f'in dict({served[0]}=...)'
            )
    for task, classes in (dict.get(entry, 'classes') or {}).items():
        check_classes(f'{key}.classes.{task}', classes)
    score = dict.get(entry, 'score')
    if score is not None and not isinstance(score, dict):
        raise ConfigError(
            f"{key}.score is {score!r}; give {{'TASK/metric': factor}}, as in "
            f"{{'{served[0]}/METRIC': 100}}"
        )
    for metric in score or ():
        if str(metric).split('/')[0] not in served:
            raise ConfigError(
                f'{key}.score has {metric!r}, but the source serves {list(served)}; write '
                "'TASK/metric' with one of them"
            )


def check_classes(key: str, classes) -> None:
    if classes is None or (isinstance(classes, str) and osp.isfile(classes)):
        return  # MMEngine reads the file.
    if not isinstance(classes, (list, tuple)) or not classes:
        raise ConfigError(
            f"{key} is {classes!r}; give the names, as in ('car', 'bus'), or a file with one a line"
        )
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise ConfigError(f'{key} has {twice[0]!r} twice; give each class a name of its own')


def data_set_of(loader: dict, task: str | None):
    """The config of a task's data set in a loader, that of its labels in a shared source."""
    dataset = dict.get(loader, 'dataset')
    labels = labels_of(dataset)
    return dataset if labels is None or task is None else labels.get(task)
