"""Sources: the entries of ``train_dataloader`` (and ``val_``, ``test_``), and the tasks of each.

A source without ``tasks`` is named like the task that it serves. One with ``tasks=('det', 'lane')``
has a free name. It is shared if its data set has ``labels``: then one image has labels of several
tasks, each with a data set of its own, and all go through one pipeline.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

TASKS = 'tasks'
LABELS = 'labels'
MIN_LABELLED = 'min_labelled'
LABEL_WEIGHTS = 'label_weights'


class TaskData(NamedTuple):
    """Where a config has the data of a task.

    Attributes:
        source: Name of the source.
        key: Config key of its dataloader: ``val_dataloader.street``.
        loader: Config of its dataloader.
        dataset_key: Config key of the task's data set.
        dataset: Config of the task's data set, which in a shared source is that of its labels.
        shared: Whether other tasks have labels of the same images.
    """

    source: str
    key: str
    loader: Mapping
    dataset_key: str
    dataset: Any
    shared: bool


def tasks_of(source: str, loader: Any) -> tuple[str, ...]:
    """The tasks that a source serves, by the config of its dataloader."""
    tasks = loader.get(TASKS) if isinstance(loader, Mapping) else None
    return (source,) if tasks is None else tuple(tasks)


def sources_of(loaders: Mapping | None) -> dict[str, tuple[str, ...]]:
    """``{source: tasks that it serves}`` of ``train_dataloader``, ``val_dataloader`` and so on."""
    return {source: tasks_of(source, loader) for source, loader in (loaders or {}).items()}


def label_weights_of(loaders: Mapping | None) -> dict[str, dict[str, float]]:
    """``{source: {task: factor of its loss on the source's images}}`` where a config sets one."""
    return {
        source: dict(loader[LABEL_WEIGHTS])
        for source, loader in (loaders or {}).items()
        if isinstance(loader, Mapping) and loader.get(LABEL_WEIGHTS)
    }


def tasks_served(loaders: Mapping | None) -> list[str]:
    """The tasks that any source serves, each once."""
    return list(dict.fromkeys(task for tasks in sources_of(loaders).values() for task in tasks))


def labels_of(dataset: Any) -> Mapping | None:
    """``{task: config of the data set of its labels}`` of a shared source's data set, else None."""
    labels = dataset.get(LABELS) if isinstance(dataset, Mapping) else None
    return labels if isinstance(labels, Mapping) else None


def data_of_task(loaders: Mapping | None, stage: str, task: str) -> Iterator[TaskData]:
    """The data of a task in each source of a stage that serves it.

    Args:
        loaders: ``train_dataloader``, ``val_dataloader`` or ``test_dataloader``.
        stage: ``'train'``, ``'val'`` or ``'test'``.
        task: Name of the task.
    """
    for source, tasks in sources_of(loaders).items():
        loader = (loaders or {})[source]
        if task not in tasks or not isinstance(loader, Mapping):
            continue
        key = f'{stage}_dataloader.{source}'
        dataset, labels = loader.get('dataset'), labels_of(loader.get('dataset'))
        if labels is None:
            yield TaskData(source, key, loader, f'{key}.dataset', dataset, False)
        else:
            inner = f'{key}.dataset.{LABELS}.{task}'
            yield TaskData(source, key, loader, inner, labels.get(task), True)


def first_data(cfg: Mapping, stage: str, task: str) -> TaskData | None:
    """The data of a task in the first source of a stage that serves it; None if none does."""
    return next(data_of_task(cfg.get(f'{stage}_dataloader'), stage, task), None)
