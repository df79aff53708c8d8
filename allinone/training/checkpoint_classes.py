"""Classes that a checkpoint was trained on, compared with those of the data."""

import logging
from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset

from allinone.errors import ConfigError
from allinone.io.text import shortened
from allinone.models.allinone import AllInOne
from allinone.tasks.class_lists import METAINFO, misplaced, names_of

BY_NAME = 'by_name'


def match_classes(
    path: str,
    checkpoint: Mapping,
    state: Mapping[str, Tensor],
    model: AllInOne,
    datasets: Mapping[str, tuple[str, Dataset]],
    by_name: bool = False,
) -> dict[str, Tensor]:
    """The weights of a checkpoint for tasks that number the same classes.

    Args:
        path: Of the checkpoint, for messages.
        checkpoint: Its content; ``meta.dataset_meta`` has the classes of each task.
        state: Its weights, by the joint model's names.
        model: The joint model.
        datasets: ``{task: (config key, data set)}`` of what is trained or tested.
        by_name: Take the rows of a head for classes of the same name, wherever they are.

    Returns:
        ``state``, with the rows of heads in the order of the data sets' classes if ``by_name``.

    Raises:
        ConfigError: If a class that both have is at another place, and ``by_name`` is not set.
    """
    stored = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    found = dict(state)
    for task, (key, dataset) in datasets.items():
        kind, theirs = model.kinds[task], names_of(stored.get(task))
        ours = kind.class_lists(dataset).get(METAINFO)
        if theirs is None or ours is None or theirs == ours:
            continue
        both = f'its task {task} has the classes {shortened(theirs, 9)}, and {key} has '
        both += shortened(ours, 9)
        if by_name:
            found |= _rows_by_name(model, task, state, theirs, ours)
            same = [name for name in ours if name in theirs]
            print_log(f'{path}: {both}; rows of {shortened(same, 9)} are taken by name', 'current')
        elif misplaced(theirs, ours):
            raise ConfigError(
                f'{path}: {both}, so one label would stand for two classes; give the data set the '
                f"classes in that order, or set load_classes = '{BY_NAME}' to train on"
            )
        else:
            print_log(f'{path}: {both}', 'current', logging.WARNING)
    return found


def _rows_by_name(
    model: AllInOne,
    task: str,
    state: Mapping[str, Tensor],
    theirs: Sequence[str],
    ours: Sequence[str],
) -> dict[str, Tensor]:
    """The head's class layers, with the checkpoint's rows for names that both have."""
    pairs = [(i, theirs.index(name)) for i, name in enumerate(ours) if name in theirs]
    to, origin = [i for i, _ in pairs], [j for _, j in pairs]
    found = {}
    for name, value in model.tasks[task].state_dict().items():
        layer, full = name.split('.')[:-1], f'tasks.{task}.{name}'
        if full not in state or not set(layer) & set(model.kinds[task].class_layers):
            continue
        given = state[full]
        # Rows are classes, of several anchors in turn, or classes and one for the background.
        anchors, rest = divmod(len(value), len(ours))
        if rest not in (0, 1) or len(given) != anchors * len(theirs) + rest:
            continue
        if rest:
            anchors, to_rows, from_rows = 1, [*to, len(ours)], [*origin, len(theirs)]
        else:
            to_rows = [a * len(ours) + i for a in range(anchors) for i in to]
            from_rows = [a * len(theirs) + j for a in range(anchors) for j in origin]
        rows = value.detach().cpu().clone()
        rows[to_rows] = given.detach().cpu().to(rows.dtype)[torch.tensor(from_rows)]
        found[full] = rows
    return found
