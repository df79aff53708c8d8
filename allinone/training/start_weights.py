"""Weights that a training starts with: ``load_from``, a checkpoint or one for each task."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmengine.logging import print_log
from torch.utils.data import Dataset

from allinone.checkpoint.fitting import Fit, fit
from allinone.checkpoint.loading import (
    load_state_dict,
    read_checkpoint,
    require_weights,
    state_dict_of,
)
from allinone.checkpoint.shards import all_read
from allinone.checkpoint.sources import (
    COUNTER,
    Parts,
    State,
    backbone_for,
    chosen_backbone,
    fitting_tasks,
    merged_necks,
    parts_for,
    require_fitting,
    tasks_of,
)
from allinone.checkpoint.upstream_neck import SHARED
from allinone.checkpoint.zoo import local_checkpoint
from allinone.config.parts import BACKBONE, prefixes_of
from allinone.errors import CheckpointError
from allinone.io.text import shortened
from allinone.models.allinone import AllInOne

from .checkpoint_classes import match_classes

KEY = 'load_from'
SHOWN = 3

Data = Mapping[str, tuple[str, Dataset]]


class Start(NamedTuple):
    """Weights for a joint model.

    Attributes:
        checkpoint: As read, with ``state_dict`` in the names of the joint model.
        origins: ``{'backbone' or task: where its weights are from}``.
        label: What names the checkpoints in messages.
    """

    checkpoint: dict
    origins: dict[str, str]
    label: str


def load_start(
    model: AllInOne,
    load_from: str | Mapping[str, str],
    datasets: Data,
    by_name: bool = False,
    map_location='cpu',
    lazily: bool = False,
) -> dict:
    """Load the weights of ``load_from`` into a joint model, and log what each part got.

    Args:
        model: The joint model, initialised.
        load_from: A checkpoint of a joint model or of an upstream model, which is for the task
            that its heads fit; or ``{task or 'backbone': checkpoint}``. Each is a path, a URL or a
            name of the zoo; for ``'backbone'`` also a task, whose checkpoint has the backbone.
        datasets: ``{task: (config key, data set)}`` of what is trained.
        by_name: ``load_classes``, of a joint model's checkpoint. Heads of :class:`Parts` are always
            taken by the names of classes.
        map_location: As in ``torch.load``.
        lazily: As in :func:`read_checkpoint`.

    Returns:
        The checkpoint, whose ``state_dict`` has what was loaded in the names of the joint model.

    Raises:
        CheckpointError: If a checkpoint cannot be read, or fits nothing, or lacks frozen parts.
        ConfigError: If two checkpoints have different backbones, or a class is at another place.
    """

    def read(source: str, key: str) -> tuple[str, dict]:
        path = local_checkpoint(source, key)
        checkpoint = read_checkpoint(path, map_location, lazily)
        return path, checkpoint if lazily else all_read(checkpoint)

    if isinstance(load_from, Mapping):
        start = _from_several(model, load_from, datasets, read)
    else:
        start = _from_one(model, *read(load_from, KEY), datasets, by_name)
    state = {
        # What a balancer learned is of the run that it learned it in.
        name: value
        for name, value in start.checkpoint['state_dict'].items()
        if not name.startswith('balancer.')
    }
    found = load_state_dict(model, state, start.label, log=False)
    _report(model, found, start)
    if model.frozen:
        require_weights(
            model,
            found.weights,
            [name for name in model.frozen if name in model.tasks],
            start.label,
            # Its own file gave it weights.
            backbone=not model.backbone_is_pretrained,
            remedy='give load_from a checkpoint of each, {task: checkpoint}, or do not freeze them',
        )
    return dict(start.checkpoint, state_dict=found.weights)


def _from_one(model: AllInOne, path: str, checkpoint: dict, datasets: Data, by_name: bool) -> Start:
    state = state_dict_of(checkpoint, path)
    if not tasks_of(state):
        tasks = fitting_tasks(model, state, list(model.tasks))
        if len(tasks) == 1:
            return _from_several(
                model, {tasks[0]: path}, datasets, lambda source, key: (path, checkpoint)
            )
        if len(tasks) > 1:
            print_log(
                f'{KEY}: {path} fits the tasks {shortened(tasks, SHOWN)} alike, so only its '
                f"backbone is loaded; name the task, as in {KEY}=dict({tasks[0]}='{path}')",
                'current',
                logging.WARNING,
            )
        if not fit(model, state).weights:
            bare: dict = {f'{BACKBONE}.{name}': value for name, value in state.items()}
            state = bare if fit(model, bare).weights else state
    state = match_classes(path, checkpoint, state, model, datasets, by_name)
    return Start(
        dict(checkpoint, state_dict=state), dict.fromkeys([BACKBONE, *model.tasks], path), path
    )


def _from_several(model: AllInOne, sources: Mapping[str, str], datasets: Data, read) -> Start:
    paths: dict[str, str] = {}
    parts: dict[str, Parts] = {}
    for task, source in sources.items():
        if task == BACKBONE:
            continue
        key = f'{KEY}.{task}'
        paths[task], checkpoint = read(source, key)
        entry, neck = model.kinds[task].entry, model.upstream_neck(task)
        parts[task] = parts_for(checkpoint, paths[task], task, key, entry, neck)
    backbone, origin = _backbone(model, sources, parts, paths, read)
    state = {**backbone, **_neck(model, sources, parts, paths, backbone)}
    origins = {BACKBONE: origin} if origin else {}
    own = model.state_dict()
    for task, part in parts.items():
        head = part.head
        count = len(head) + len(part.backbone) + len(part.neck)
        if not head.keys() & own.keys() and origin != paths[task]:
            raise CheckpointError(
                f'{KEY}.{task}={paths[task]!r} has nothing for the task: none of its '
                f'{count} tensors fits model.tasks.{task} or the backbone; it has '
                f'{shortened([*head, *part.backbone], SHOWN)}; if it is a '
                f'backbone alone, give it as {KEY}.{BACKBONE}'
            )
        if task in datasets:
            meta = dict(meta=dict(dataset_meta={task: part.metainfo}))
            head = match_classes(
                paths[task], meta, head, model, {task: datasets[task]}, by_name=True
            )
        state |= head
        origins[task] = paths[task]
    label = ', '.join(dict.fromkeys([*paths.values(), *([origin] if origin else [])]))
    return Start(dict(state_dict=state, meta={}), origins, label)


def _backbone(
    model: AllInOne, sources: Mapping[str, str], parts: Mapping[str, Parts], paths, read
) -> tuple[State, str | None]:
    """The backbone's weights, and the checkpoint that they are of."""
    named = sources.get(BACKBONE)
    key = f'{KEY}.{BACKBONE}'
    if named is not None and named not in parts:
        path, checkpoint = read(named, key)
        return backbone_for(model, checkpoint, path, key), path
    if named is not None:
        require_fitting(model, parts[named].backbone, paths[named], key)
        return parts[named].backbone, paths[named]
    backbones = {task: part.backbone for task, part in parts.items()}
    task = chosen_backbone(model, backbones, paths)
    if task is None:
        return {}, None
    for other, backbone in backbones.items():
        if backbone and not fit(model, backbone).weights:
            print_log(
                f'{KEY}: the backbone is that of {paths[task]}; {paths[other]} has one of another '
                f'architecture, so the heads of {other} were trained on other feature maps',
                'current',
                logging.WARNING,
            )
    return backbones[task], paths[task]


def _neck(
    model: AllInOne, sources: Mapping[str, str], parts: Mapping[str, Parts], paths, backbone: State
) -> State:
    """The shared neck's weights, of the tasks that use it and of the named backbone."""
    named = sources.get(BACKBONE)
    necks = {task: part.neck for task, part in parts.items() if fit(model, part.neck).weights}
    of_backbone = {name: value for name, value in backbone.items() if name.startswith(SHARED)}
    if of_backbone:
        necks[BACKBONE] = of_backbone
    first = BACKBONE if of_backbone else named if named in parts else None
    return merged_necks(necks, paths, first, named is None)


def _report(model: AllInOne, found: Fit, start: Start) -> None:
    """Log a line for the backbone and each task; a warning where it keeps initial values."""
    own = model.state_dict()
    for part in (BACKBONE, *model.tasks):
        prefix = prefixes_of(part)
        loaded = [name for name in found.weights if name.startswith(prefix)]
        shapes = [
            f'{name} ({text})' for name, text in found.shapes.items() if name.startswith(prefix)
        ]
        missing = [name for name in _needed(found.missing, prefix) if name in own]
        part = part if part == BACKBONE else f'task {part}'
        origin = start.origins.get(part.removeprefix('task '))
        if origin is None or not loaded:
            why = f'{origin} has no weights'
            if origin is None:
                why = 'no checkpoint ' + ('has one that fits' if part == BACKBONE else 'is given')
            if shapes:
                why = f'{origin} has other shapes: {shortened(shapes, SHOWN)}'
            print_log(f'{KEY}: {part} keeps its initial weights; {why}', 'current', logging.WARNING)
            continue
        text = f'{KEY}: {part} has {len(loaded)} of '
        text += f'{len(loaded) + len(shapes) + len(missing)} tensors of {origin}'
        for names, what in ((shapes, 'of another shape'), (missing, 'missing')):
            if names:
                text += f'; {len(names)} {what}: {shortened(names, SHOWN)}'
        print_log(text, 'current', logging.WARNING if shapes or missing else logging.INFO)
    if found.unexpected:
        print_log(
            f'{KEY}: {len(found.unexpected)} tensors of {start.label} have no place in the model: '
            f'{shortened(found.unexpected, SHOWN)}',
            'current',
        )


def _needed(names: Sequence[str], prefix: tuple[str, ...]) -> list[str]:
    """Names of a part but for what only begins with a training, or old files lack."""
    return [
        name
        for name in names
        if name.startswith(prefix)
        and not name.endswith(COUNTER)
        and not {'adapter', 'distillation'} & set(name.split('.'))
    ]
