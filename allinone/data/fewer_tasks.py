"""``train_dataloader`` and the like for some of their tasks."""

from collections.abc import Collection, Mapping

from allinone.config.sources import LABEL_WEIGHTS, MIN_LABELLED, labels_of, tasks_of

from .datasets.shared_parts import scoped_steps
from .task_pipeline import library_of_labels


def without_other_tasks(loaders: Mapping, tasks: Collection[str]) -> dict:
    """``train_dataloader`` and the like with some of its tasks.

    A shared source that serves some of them keeps these; images without labels of any are then
    left out by its data set.
    """
    kept: dict = {}
    for source, loader in loaders.items():
        served = tasks_of(source, loader)
        left = tuple(task for task in served if task in tasks)
        if not left:
            continue
        kept[source] = loader if left == served else _with_tasks(loader, left)
    return kept


def _with_tasks(loader: Mapping, tasks: tuple[str, ...]) -> dict:
    found = dict(loader, tasks=tasks)
    labels = labels_of(loader.get('dataset'))
    if labels is not None:
        # Its transforms stay those of the library that all labels together choose.
        steps = scoped_steps(loader['dataset'].get('pipeline') or (), library_of_labels(labels))
        labels = {task: part for task, part in labels.items() if task in tasks}
        found['dataset'] = dict(loader['dataset'], labels=labels, pipeline=steps)
    for key in (MIN_LABELLED, LABEL_WEIGHTS):
        if isinstance(loader.get(key), Mapping):
            found[key] = {task: value for task, value in loader[key].items() if task in tasks}
    return found
