"""Weights of the backbone from a checkpoint as mmpretrain, timm or torchvision save it."""

import os
from collections.abc import Mapping

from torch import nn

from allinone.errors import CheckpointError
from allinone.io.text import shortened

from .architecture import misfit
from .fitting import Fit, fit
from .loading import load_fit, read_checkpoint, state_below, state_dict_of
from .zoo import local_checkpoint

# Where authors' files have the state dict, if not under state_dict; the first is taken.
NESTED = ('model', 'model_ema', 'state_dict_ema', 'teacher')


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
        CheckpointError: If the file cannot be read, has the names of another library, or is of
            another architecture.
    """
    path = local_checkpoint(path, key)
    state = _unwrapped(read_checkpoint(path), path)
    if prefix:
        state = state_below(state, prefix, path, key)
    found = fit(backbone, state)
    if not (prefix or found.weights or found.shapes) and _any_below(state, 'backbone.'):
        state = state_below(state, 'backbone', path, key)
        found = fit(backbone, state)
    if _foreign(backbone, found):
        raise CheckpointError(f'{key}={str(path)!r}: {_names(backbone, state, found, prefix)}')
    wrong = misfit(backbone, found)
    if wrong:
        raise CheckpointError(
            f'{key}={str(path)!r} is of another architecture than model.backbone: {wrong}; give '
            'a checkpoint of the same architecture, or take what fits of it with '
            f'load_from=dict(backbone={str(path)!r})'
        )
    load_fit(backbone, found, path)


def _unwrapped(checkpoint: Mapping, path) -> dict:
    """The state dict; that of authors' own files is often under another name."""
    if isinstance(checkpoint, Mapping) and 'state_dict' not in checkpoint:
        inner = (checkpoint.get(name) for name in NESTED)
        checkpoint = next((found for found in inner if isinstance(found, Mapping)), checkpoint)
    return state_dict_of(checkpoint, path)


def _any_below(state: Mapping, start: str) -> bool:
    return any(name.startswith(start) for name in state)


def _foreign(backbone: nn.Module, found: Fit) -> bool:
    """Whether a state dict has other names than the backbone."""
    own = [name for name, _ in backbone.named_parameters()]
    known = sum(name in found.weights for name in own)
    if any(name in found.shapes for name in own):
        return False
    # A backbone may have more of its own than it takes (DetectoRS).
    return not known or (2 * known < len(own) and len(found.unexpected) > known)


def _names(backbone: nn.Module, state: Mapping, found: Fit, prefix: str | None) -> str:
    """What is said of such a state dict: what it has, what is needed, what to do."""
    own = [name for name, _ in backbone.named_parameters()]
    count = sum(name in own for name in found.weights)
    below = _prefix(backbone, state)
    prefix = below and (f'{prefix.rstrip(".")}.{below}' if prefix else below)
    return (
        f'{count or "none"} of its {len(state)} keys {"are" if count > 1 else "is"} of '
        f'model.backbone. It has {shortened(found.unexpected, shown=3, last=", ")}; the backbone '
        f'has {shortened(found.missing, shown=3, last=", ")}; '
        + (
            f'set prefix={prefix!r} in init_cfg, below which keys fit'
            if prefix
            else 'give weights as the library of the backbone saves them, or take those of timm by '
            'TimmBackbone, those of torchvision by TorchvisionBackbone'
        )
    )


def _prefix(backbone: nn.Module, state: Mapping) -> str | None:
    """The prefix below which keys fit, of one or two levels."""
    starts = {
        '.'.join(parts[:levels])
        for parts in (name.split('.') for name in state)
        for levels in (1, 2)
        if len(parts) > levels
    }
    for start in sorted(starts):
        below = {n[len(start) + 1 :]: v for n, v in state.items() if n.startswith(f'{start}.')}
        if not _foreign(backbone, fit(backbone, below)):
            return start
    return None
