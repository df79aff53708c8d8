"""Checks of tasks whose training data annotates only some of their classes."""

import logging
from collections.abc import Iterable

from mmengine.logging import print_log

from allinone.data.task_loaders import TaskPart
from allinone.errors import ConfigError
from allinone.io.text import shortened
from allinone.models.allinone import AllInOne
from allinone.tasks.annotated_classes import ANNOTATED, annotated_labels
from allinone.tasks.class_lists import names_of
from allinone.tasks.ignored_regions import REGIONS


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
        regions = (getattr(part.dataset, 'metainfo', None) or {}).get(REGIONS)
        if regions and not model.kinds[part.task].leaves_out_regions(model.tasks[part.task]):
            print_log(
                f'train_dataloader.{part.key} has metainfo.{REGIONS}, but '
                f'{type(model.tasks[part.task]).__name__} of the task {part.task!r} does not leave '
                'them out; only dense heads with a sigmoid for each class do, such as GFL and FCOS',
                'current',
                logging.WARNING,
            )
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
