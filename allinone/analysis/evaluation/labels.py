"""Statistics of the labels of a task's data sets."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log

from allinone.data.fewer_tasks import without_other_tasks
from allinone.data.loaders import in_this_process
from allinone.data.task_loaders import TaskLoaders
from allinone.errors import AllInOneError
from allinone.tasks.ignored_boxes import IgnoredBoxes
from allinone.tasks.wrapped import wrapped_data_sets
from allinone.training.eval_loop import build_loaders

from .collect import TaskFindings

MOST_LABEL_MAPS = 200


def label_statistics(
    title: str, found: TaskFindings, data_sets: Sequence[Any]
) -> list[dict[str, Any]]:
    """The parts of a page on the labels of data sets of one task.

    Args:
        title: Which data they are.
        found: Of the task.
        data_sets: May wrap or concatenate others; what they repeat counts once.
    """
    inner = [part for dataset in data_sets for part in wrapped_data_sets(dataset)]
    if not inner or not all(hasattr(part, 'get_data_info') for part in inner):
        return []
    parts = found.analysis.label_parts(
        title, _infos(inner), found.analysis.classes, MOST_LABEL_MAPS
    )
    return [part.to_json() for part in parts]


def training_data(
    runner: Any, cfg: Mapping | None, tasks: Sequence[str]
) -> tuple[dict[str, list], str]:
    """The data sets that some tasks are trained on.

    Args:
        runner: That of the test.
        cfg: ``train_dataloader`` of the config.
        tasks: Names of the tasks.

    Returns:
        ``{task: data sets}``, and why there are none, if so.
    """
    if not cfg:
        return {}, 'The config has no train_dataloader.'
    try:
        chosen = without_other_tasks(cfg, tasks)
        loaders: TaskLoaders = build_loaders(
            runner,
            'train_dataloader',
            {source: in_this_process(loader) for source, loader in chosen.items()},
            True,
            False,
        )
    except AllInOneError as error:
        print_log(f'No statistics of the training data: {error}', 'current', logging.WARNING)
        return {}, f'The training data could not be read: {error}.'
    found: dict[str, list] = {}
    for part in loaders.parts:
        found.setdefault(part.task, []).append(part.dataset)
    return found, ''


def _infos(data_sets: Sequence[Any]) -> Iterator[Mapping]:
    for dataset in data_sets:
        ignored = IgnoredBoxes(dataset)
        for index in range(len(dataset)):
            yield ignored.added_to(dataset.get_data_info(index))
