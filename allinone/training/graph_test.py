"""Test an exported graph with the data and metrics of a config."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from torch.utils.data import Dataset

from allinone.config.sources import sources_of
from allinone.errors import ConfigError
from allinone.io.text import shortened
from allinone.models.allinone import AllInOne
from allinone.models.exported import ExportedModel
from allinone.tasks.class_lists import METAINFO, misplaced


def require_tasks(cfg: Config, graph: ExportedModel) -> None:
    """Refuse to test tasks that the graph does not have.

    Raises:
        ConfigError: If ``test_dataloader`` serves one.
    """
    served = [
        task for tasks in sources_of(cfg.get('test_dataloader') or {}).values() for task in tasks
    ]
    if absent := [task for task in served if task not in graph.tasks]:
        both = [task for task in served if task in graph.tasks]
        remedy = f'give --tasks {" ".join(both)}' if both else 'give the config of its training'
        raise ConfigError(
            f'test_dataloader of {cfg.filename} serves the tasks {absent}, but {graph.path} has '
            f'{list(graph.tasks)}; {remedy}'
        )


def predict_by_graph(
    graph: ExportedModel, model: AllInOne, datasets: Mapping[str, tuple[str, Dataset]]
) -> None:
    """Let a graph make the predictions of a model, once both are found to have the same classes.

    Args:
        graph: The graph.
        model: That of the config; its weights are not used.
        datasets: ``{task: (config key, data set)}`` of what is tested.

    Raises:
        ConfigError: If kind or classes of a task differ.
    """
    joint: Any = model  # Its methods are replaced, so that hooks see the model of the config.
    for task, (key, dataset) in datasets.items():
        _require_same(graph, model, task, key, dataset)
        graph.kinds[task] = model.kinds[task]
        joint.tasks[task].test_step = partial(_of_task, graph, task)
    joint.test_step = graph.test_step
    print_log(f'{graph.path}: predictions are those of the graph, on the CPU', 'current')


def _of_task(graph: ExportedModel, task: str, batch: Mapping) -> list:
    return graph.test_step({task: dict(batch)})[task]


def _require_same(
    graph: ExportedModel, model: AllInOne, task: str, key: str, dataset: Dataset
) -> None:
    kind, about = model.kinds[task], graph.tasks[task]
    if kind.name != about['kind']:
        raise ConfigError(
            f'model.tasks.{task} is of the kind {kind.name!r}, but in {graph.path} the task is of '
            f'the kind {about["kind"]!r}; give the config of its training'
        )
    count, known = kind.num_classes(model.tasks[task]), about.get('num_classes')
    if not kind.embeds and None not in (count, known) and count != known:
        raise ConfigError(
            f'model.tasks.{task} has {count} classes, but {graph.path} has {known} for the task; '
            'give the config of its training'
        )
    theirs, ours = about['classes'], kind.class_lists(dataset).get(METAINFO)
    if theirs and ours and misplaced(theirs, ours):
        raise ConfigError(
            f'{graph.path}: its task {task} has the classes {shortened(theirs, 9)}, and {key} has '
            f'{shortened(ours, 9)}, so one label would stand for two classes; give the data set '
            'the classes in that order'
        )
