"""Weights of the backbone from a checkpoint as mmpretrain, timm or torchvision save it."""

import os
import re
from collections.abc import Iterable, Mapping

from torch import nn

from allinone.errors import CheckpointError

from .fitting import Fit, fit
from .loading import load_state_dict, read_checkpoint, state_dict_of
from .zoo import local_checkpoint


def load_backbone(
    backbone: nn.Module, path: str | os.PathLike, prefix: str | None, key: str
) -> None:
    """Load a backbone, and log which tensors are used, resized and left.

    Args:
        backbone: The module.
        path: As in :func:`allinone.checkpoint.loading.load_weights`.
        prefix: Take only the file's keys below this prefix. Default: none, or ``'backbone'`` if
            that is where the weights are.
        key: The config key that named the file, for messages.

    Raises:
        CheckpointError: If the file cannot be read, or is of another architecture.
    """
    path = local_checkpoint(path, key)
    state = _unwrapped(read_checkpoint(path), path)
    if prefix is None and _any_below(state, 'backbone.') and not fit(backbone, state).weights:
        prefix = 'backbone'
    if prefix:
        start = prefix.rstrip('.') + '.'
        below = {n[len(start) :]: value for n, value in state.items() if n.startswith(start)}
    else:
        below = state
    found = fit(backbone, below)
    wrong = misfit(backbone, found) if found.weights or found.shapes else None
    if wrong:
        raise CheckpointError(
            f'{key}={str(path)!r} is of another architecture than model.backbone: {wrong}; give '
            'a checkpoint of the same architecture, or take what fits of it with '
            f'load_from=dict(backbone={str(path)!r})'
        )
    load_state_dict(backbone, state, path, prefix, key)


def _unwrapped(checkpoint: Mapping, path) -> dict:
    """The state dict; that of authors' own files is often under ``model``."""
    if isinstance(checkpoint, Mapping) and 'state_dict' not in checkpoint:
        inner = checkpoint.get('model')
        checkpoint = inner if isinstance(inner, Mapping) else checkpoint
    return state_dict_of(checkpoint, path)


def _any_below(state: Mapping, start: str) -> bool:
    return any(name.startswith(start) for name in state)


def misfit(backbone: nn.Module, found: Fit) -> str | None:
    """The first tensor that shows that a state dict is of another architecture.

    Parts that a library adds to an architecture may lack (norms of feature maps, offsets of
    deformable layers, plugins), and a head or layers behind the last feature map may be left.

    Args:
        backbone: The module.
        found: How the state dict fits it.

    Returns:
        A clause; None if it is of the architecture.
    """
    own = [name for name, _ in backbone.named_parameters()]
    for name in own:
        if name in found.shapes:
            return f'{name!r} has the shape {found.shapes[name]}'
    lacking = [name for name in own if name not in found.weights]
    # A backbone may have more of its own than it takes (DetectoRS).
    if 2 * len(lacking) > len(own) and len(found.unexpected) > len(found.weights):
        return f'{lacking[0]!r} and {len(lacking) - 1} more of its {len(own)} tensors are missing'
    there, left = _blocks(found.weights), _blocks(found.unexpected)
    for name in lacking:
        for container, index in _places(name):
            known = there.get(container, {}).keys() | left.get(container, {}).keys()
            if known and index > max(known):
                return f'{name!r} is missing, for {container!r} has only {max(known) + 1} blocks'
            others = left.get(container, {}).get(index)
            if others and index in there.get(container, {}):
                return f'{name!r} is missing, and {others!r} is there instead'
    return _deeper(found)


def _deeper(found: Fit) -> str | None:
    """The first block that the file has between blocks that are used."""
    there, left = _blocks(found.weights), _blocks(found.unexpected)
    order = [container for container in there]
    for container, blocks in left.items():
        more = [index for index in blocks if index > max(there.get(container, {-1: ''}))]
        # Behind the last map, layers may be left.
        if container in there and more and _used_behind(container, order):
            return f'{blocks[min(more)]!r} has no place, for {container!r} has fewer blocks'
    return None


def _used_behind(container: str, order: list[str]) -> bool:
    """Whether a container of blocks beside this one, with a later name, is used."""
    stage = re.sub(r'\d+', '#', container)
    beside = [other for other in order if re.sub(r'\d+', '#', other) == stage]
    return beside.index(container) + 1 < len(beside)


def _places(name: str) -> Iterable[tuple[str, int]]:
    """``(container, index)`` of each numbered module around a tensor, outermost first."""
    parts = name.split('.')
    for place, part in enumerate(parts[:-1]):
        if place and part.isdigit():
            yield '.'.join(parts[:place]), int(part)


def _blocks(names: Iterable[str]) -> dict[str, dict[int, str]]:
    """``{container: {index: first tensor}}`` of numbered modules."""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        for container, index in _places(name):
            found.setdefault(container, {}).setdefault(index, name)
    return found
