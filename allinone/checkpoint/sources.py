"""Checkpoints of single tasks, or of joint models, as parts of one joint model's weights."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from allinone.config.parts import BACKBONE, is_shared_weight
from allinone.errors import CheckpointError, ConfigError
from allinone.io.program import program
from allinone.io.text import shortened

from .fitting import fit
from .loading import state_dict_of
from .shards import StoredTensor, all_read
from .upstream_neck import SHARED, UpstreamNeck

PREFIX = f'{BACKBONE}.'
COUNTER = 'num_batches_tracked'

State = Mapping[str, Tensor | StoredTensor]


class Parts(NamedTuple):
    """What a checkpoint has for a task of a joint model.

    Attributes:
        backbone: ``{'backbone.*': tensor}``.
        neck: ``{'shared_neck.*': tensor}`` of a task that uses it; it may lack levels.
        head: ``{'tasks.NAME.*': tensor}``.
        metainfo: Of the data that the task was trained on; empty if unknown.
        joint: Whether it is a checkpoint of a joint model.
    """

    backbone: State
    neck: State
    head: State
    metainfo: dict
    joint: bool


def tasks_of(state: Mapping) -> list[str]:
    """Tasks of a joint model's state dict; none in that of another model."""
    return sorted({name.split('.')[1] for name in state if name.startswith('tasks.')})


def parts_for(
    checkpoint: Mapping,
    path,
    task: str,
    key: str,
    entry: str = BACKBONE,
    neck: UpstreamNeck | None = None,
) -> Parts:
    """Take a checkpoint apart for one task.

    Args:
        checkpoint: The content: of a joint model with this task (or with one task of any name), or
            of an upstream model.
        path: Of the checkpoint, for messages.
        task: Name of the task in the joint model.
        key: The config key that names the checkpoint, for messages.
        entry: The upstream model's attribute that is its backbone.
        neck: Of a task of the shared neck: its names in the upstream model.

    Raises:
        CheckpointError: If it holds no state dict, or a joint model without the task.
    """
    state = state_dict_of(checkpoint, path)
    tasks = tasks_of(state)
    if tasks:
        if task not in tasks and len(tasks) > 1:
            raise CheckpointError(
                f'{key}={str(path)!r} is a joint model with the tasks {tasks}, of which none is '
                f'{task!r}; give a checkpoint of that task'
            )
        theirs = task if task in tasks else tasks[0]
        head = _below(state, f'tasks.{theirs}.', f'tasks.{task}.')
        metainfo = metainfo_of(checkpoint, theirs)
        shared = {} if neck is None else _below(state, SHARED, SHARED)
        return Parts(_below(state, PREFIX, PREFIX), shared, head, metainfo, True)
    backbone = _below(state, f'{entry}.', f'{BACKBONE}.')
    rest = {
        name if neck is None else neck.joint(name): value
        for name, value in state.items()
        if not name.startswith(f'{entry}.')
    }
    shared_neck = {} if neck is None else _below(rest, SHARED, SHARED)
    head = {
        f'tasks.{task}.{name}': value for name, value in rest.items() if name not in shared_neck
    }
    return Parts(backbone, shared_neck, head, metainfo_of(checkpoint), False)


def backbone_for(model: nn.Module, checkpoint: Mapping, path, key: str) -> State:
    """The backbone of a checkpoint, or a bare backbone.

    Raises:
        ConfigError: If none of its tensors fits the joint model's backbone.
    """
    state = state_dict_of(checkpoint, path)
    backbone = _shared(state) or {f'backbone.{name}': value for name, value in state.items()}
    require_fitting(model, backbone, path, key)
    return backbone


def require_fitting(model: nn.Module, backbone: State, path, key: str) -> None:
    """Refuse a backbone of another architecture, which the config names.

    Raises:
        ConfigError: If none of its tensors fits the joint model's backbone.
    """
    if not fit(model, backbone).weights:
        own = [name for name in model.state_dict() if is_shared_weight(name)]
        raise ConfigError(
            f'{key}={str(path)!r}: none of its {len(backbone)} tensors of a backbone fits the '
            f'{len(own)} of model.backbone; it has {shortened(backbone, 3) or "nothing"}, and the '
            f'model {shortened(own, 3)}; give a checkpoint of the same architecture'
        )


def chosen_backbone(
    model: nn.Module, sources: Mapping[str, State], paths: Mapping[str, str]
) -> str | None:
    """The source whose backbone is taken, where the config names none.

    Args:
        model: The joint model.
        sources: ``{task: its checkpoint's 'backbone.*'}``.
        paths: ``{task: path}``, for messages.

    Returns:
        The task; None if no backbone fits.

    Raises:
        ConfigError: If backbones fit that differ.
    """
    fits = {task: fit(model, state) for task, state in sources.items() if state}
    complete = [task for task, found in fits.items() if not _lacking(found)]
    candidates = complete or [task for task, found in fits.items() if found.weights]
    if not candidates:
        return None
    first, *others = candidates
    for other in others:
        if not same(fits[first].weights, fits[other].weights):
            raise ConfigError(
                f'load_from.{first}={paths[first]!r} and load_from.{other}={paths[other]!r} have '
                f'different backbones, and the model has one; add {BACKBONE}={first!r} or '
                f'{BACKBONE}={other!r} to load_from, or {BACKBONE}= a checkpoint, such as one of '
                f'{program("compose")}'
            )
    return first


def _lacking(found) -> list[str]:
    """What of the backbone a checkpoint does not give, but for counters that old files lack."""
    names = (*found.missing, *found.shapes)
    return [n for n in names if n.startswith(PREFIX) and not n.endswith(COUNTER)]


def merged_necks(
    necks: Mapping[str, State],
    paths: Mapping[str, str],
    first: str | None,
    nameable: bool = True,
) -> State:
    """The shared neck of several checkpoints, each of which may lack levels.

    Args:
        necks: ``{task: its 'shared_neck.*'}``.
        paths: ``{task: path}``, for messages.
        first: The task whose neck is taken where they differ; None: they must not.
        nameable: Whether the config leaves out the backbone, which would name the task.

    Raises:
        ConfigError: If they differ.
    """
    found: dict = {}
    origin: dict[str, str] = {}
    for task in sorted(necks, key=lambda task: task != first):
        for name, value in necks[task].items():
            other = origin.setdefault(name, task)
            known = found.setdefault(name, value)
            if other != task and first is None and not same({name: known}, {name: value}):
                raise ConfigError(
                    f'load_from.{other}={paths[other]!r} and load_from.{task}={paths[task]!r} '
                    'have different shared necks, and the model has one; '
                    + (
                        f'add {BACKBONE}={other!r} or {BACKBONE}={task!r} to load_from'
                        if nameable
                        else 'leave one of the two out of load_from'
                    )
                )
    return found


def same(one: State, other: State) -> bool:
    """Whether two state dicts have the same values, but for counters of batches."""
    names = {name for name in (*one, *other) if not name.endswith(COUNTER)}
    return all(
        name in one
        and name in other
        and torch.equal(all_read(one[name]).cpu(), all_read(other[name]).cpu())
        for name in names
    )


def fitting_tasks(model: Any, state: Mapping, tasks: Sequence[str]) -> list[str]:
    """Tasks that an upstream model's heads fit best by names and shapes; empty if none.

    A task is fit if it has most of the model's layers, and at least one of them in its shape or
    all of them by name: that of a classifier is one layer, whose shape is that of the classes.
    """
    own = model.state_dict()
    counts = {}
    for task in tasks:
        neck = model.upstream_neck(task) if hasattr(model, 'upstream_neck') else None
        shapes = {
            name if neck is None else neck.joint(name): value.shape
            for name, value in state.items()
            if not name.startswith(PREFIX)
        }
        heads = [name for name in shapes if not name.startswith(SHARED)]
        there = [name for name in heads if f'tasks.{task}.{name}' in own]
        fitting = [n for n in there if shapes[n] == own[f'tasks.{task}.{n}'].shape]
        if (fitting and 2 * len(there) >= len(heads)) or there == heads != []:
            counts[task] = len(fitting)
    return [task for task, count in counts.items() if count == max(counts.values())]


def metainfo_of(checkpoint: Mapping, task: str | None = None) -> dict:
    """Metadata of the data set that a checkpoint was trained on, with ``classes`` if it has them.

    Args:
        checkpoint: Its content.
        task: Of a joint model; None: it is an upstream model's. Their names may be in
            ``meta.dataset_meta.classes``, or as ``CLASSES`` there or, before MMEngine, in ``meta``.
    """
    meta = checkpoint.get('meta') if 'state_dict' in checkpoint else None
    meta = meta if isinstance(meta, Mapping) else {}
    stored = meta.get('dataset_meta')
    if task is not None:
        stored = stored.get(task) if isinstance(stored, Mapping) else None
        return dict(stored) if isinstance(stored, Mapping) else {}
    found = dict(stored) if isinstance(stored, Mapping) else {}
    for place in (found, meta):
        for name in ('classes', 'CLASSES'):
            if isinstance(place.get(name), (list, tuple)):
                return dict(found, classes=place[name])
    return found


def _shared(state: Mapping) -> State:
    return {name: value for name, value in state.items() if is_shared_weight(name)}


def _below(state: Mapping, prefix: str, new: str) -> State:
    return {
        new + name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)
    }
