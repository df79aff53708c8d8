"""Classes that a checkpoint was trained on, compared with those of the data."""

import logging
from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset

from allinone.checkpoint.shards import StoredTensor, all_read
from allinone.checkpoint.sources import State
from allinone.distributed.processes import is_sharded
from allinone.errors import ConfigError
from allinone.io.text import shortened
from allinone.models.allinone import AllInOne
from allinone.tasks.class_lists import METAINFO, misplaced, names_of

BY_NAME = 'by_name'
BOX = 4  # rows of a box


def match_classes(
    path: str,
    checkpoint: Mapping,
    state: State,
    model: AllInOne,
    datasets: Mapping[str, tuple[str, Dataset]],
    by_name: bool = False,
) -> dict[str, Tensor | StoredTensor]:
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
            moved = _rows_by_name(model, task, state, theirs, ours)
            if not moved and misplaced(theirs, ours) and _has_head(state, task):
                raise ConfigError(
                    f'{path}: {both}, and no layer of {type(model.tasks[task]).__name__} is known '
                    'to have a row for each class, so none can be taken by name; give the data set '
                    "the classes in that order, or load the backbone alone (load_from={'backbone': "
                    '...})'
                )
            found |= moved
            same = [name for name in ours if name in theirs]
            new = [name for name in ours if name not in theirs]
            print_log(
                f'{path}: {both}; by name it has rows of the head for {len(same)} of {len(ours)}'
                + (f', and {shortened(new, 9)} begin anew' if new else ''),
                'current',
                logging.WARNING if new else logging.INFO,
            )
        elif misplaced(theirs, ours):
            raise ConfigError(
                f'{path}: {both}, so one label would stand for two classes; give the data set the '
                f"classes in that order, or set load_classes = '{BY_NAME}' to train on"
            )
        else:
            print_log(f'{path}: {both}', 'current', logging.WARNING)
    return found


def _has_head(state: State, task: str) -> bool:
    return any(name.startswith(f'tasks.{task}.') for name in state)


def _rows_by_name(
    model: AllInOne,
    task: str,
    state: State,
    theirs: Sequence[str],
    ours: Sequence[str],
) -> dict[str, Tensor]:
    """The head's class layers, with the checkpoint's rows for names that both have."""
    pairs = [(i, theirs.index(name)) for i, name in enumerate(ours) if name in theirs]
    kind, found = model.kinds[task], {}
    for name, value in model.tasks[task].state_dict().items():
        layer, full = set(name.split('.')[:-1]), f'tasks.{task}.{name}'
        boxes = bool(layer & set(kind.box_layers))
        if full not in state or not (boxes or layer & set(kind.class_layers)):
            continue
        given = state[full]
        if not value.dim() or value.shape[1:] != given.shape[1:]:
            continue
        rows = _rows(pairs, (len(ours), value.shape[0]), (len(theirs), given.shape[0]), boxes)
        if rows is None:
            continue
        own = value.full_tensor() if is_sharded(value) else value
        merged = own.detach().cpu().clone()
        merged[rows[:, 0]] = all_read(given).detach().cpu().to(merged.dtype)[rows[:, 1]]
        found[full] = merged
    return found


def _rows(
    pairs: Sequence[tuple[int, int]], ours: tuple[int, int], theirs: tuple[int, int], boxes: bool
) -> Tensor | None:
    """Numbers ``(N, 2)`` of equal rows, ours and theirs; None if rows are not classes.

    Args:
        pairs: Numbers of the classes that both have.
        ours: Number of classes and of rows.
        theirs: The same of the checkpoint.
        boxes: Whether a class has the rows of a box.
    """
    (classes, rows), (others, given) = ours, theirs
    same = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    if boxes:
        if (rows, given) != (BOX * classes, BOX * others):
            return None
        return (BOX * same[:, None] + torch.arange(BOX)[:, None]).reshape(-1, 2)
    if (rows, given) == (classes + 1, others + 1):
        return torch.cat([same, torch.tensor([[classes, others]])])  # The last is the background.
    anchors, rest = divmod(rows, classes)
    if rest or given != anchors * others:
        return None
    steps = torch.tensor([classes, others])
    return (torch.arange(anchors)[:, None, None] * steps + same).reshape(-1, 2)
