"""Checks of tasks whose training data annotates only some of their classes."""

from collections.abc import Iterable

from allinone.data.task_loaders import TaskPart
from allinone.errors import ConfigError
from allinone.io.text import shortened
from allinone.models.allinone import AllInOne
from allinone.tasks.annotated_classes import ANNOTATED, annotated_labels
from allinone.tasks.class_lists import names_of


def check_annotated_classes(model: AllInOne, parts: Iterable[TaskPart]) -> None:
    """Check that heads can leave out classes, and that each class is annotated by some source.

    Args:
        model: The joint model.
        parts: The training data of each task of each source.

    Raises:
        ConfigError: If not.
    """
    by_task: dict[str, list[TaskPart]] = {}
    for part in parts:
        by_task.setdefault(part.task, []).append(part)
    for task, sources in by_task.items():
        labels = {part.key: annotated_labels(part.dataset) for part in sources}
        partly = [key for key, found in labels.items() if found is not None]
        if not partly:
            continue
        model.kinds[task].check_partly_annotated(f'model.tasks.{task}', model.tasks[task])
        if len(partly) < len(labels):
            continue  # One source annotates all classes.
        classes = names_of(sources[0].dataset.metainfo) or []
        seen = {label for found in labels.values() for label in found or ()}
        absent = [name for label, name in enumerate(classes) if label not in seen]
        if absent:
            keys = [f'train_dataloader.{key}' for key in labels]
            raise ConfigError(
                f'the task {task!r} has the classes {shortened(absent)}, which no source annotates '
                f'(metainfo.{ANNOTATED} of {", ".join(keys)}), so nothing would train them; add '
                'a source with such labels, or take them off metainfo.classes'
            )
