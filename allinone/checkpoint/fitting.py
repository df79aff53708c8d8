"""How a state dict fits a module, whose layers may first adapt it to their names and shapes."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from .shards import all_read
from .tables import resized_absolute, resized_relative


class Fit(NamedTuple):
    """How a state dict fits a module.

    Attributes:
        weights: What can be loaded, ``{name: tensor}``.
        missing: Names of the module that the state dict lacks.
        unexpected: Names of the state dict that the module lacks.
        shapes: ``{name: shapes}`` of tensors that both have, in different shapes.
        resized: Names of tensors that the module's layers brought into their shapes.
    """

    weights: dict
    missing: list[str]
    unexpected: list[str]
    shapes: dict[str, str]
    resized: list[str]


def fit(module: nn.Module, state: Mapping) -> Fit:
    """Compare a state dict with a module, whose layers may first adapt it to their shapes."""
    own, before = module.state_dict(), _shapes(state)
    if _other_shapes(state, own) or (_renames(module) and not own.keys() >= state.keys()):
        state = resized_relative(all_read(state), own)
        state = resized_absolute(_resized(module, state), own)
    shapes = _other_shapes(state, own)
    weights = {n: value for n, value in state.items() if n in own and n not in shapes}
    return Fit(
        weights,
        sorted(own.keys() - state.keys()),
        sorted(state.keys() - own.keys()),
        dict(sorted(shapes.items())),
        sorted(n for n, v in weights.items() if _shape_before(n, before) not in (None, v.shape)),
    )


def _renames(module: nn.Module) -> bool:
    """Whether a layer takes state dicts with the names of another library."""
    return any(hasattr(part, 'renamed') for part in module.modules())


def _shapes(state: Mapping) -> dict:
    return {name: getattr(value, 'shape', None) for name, value in state.items()}


def _shape_before(name: str, shapes: Mapping):
    """The shape of a tensor, which a layer may have renamed to be below ``model``."""
    return shapes.get(name, shapes.get(name.replace('model.', '', 1)))


def _other_shapes(state: Mapping, own: Mapping) -> dict[str, str]:
    return {
        name: f'{tuple(getattr(state[name], "shape", ()))} instead of {tuple(own[name].shape)}'
        for name in state.keys() & own.keys()
        if getattr(state[name], 'shape', None) != own[name].shape
    }


def _resized(module: nn.Module, state: Mapping) -> dict:
    """Let modules adapt a state dict, such as position embeddings of another image size."""
    state = dict(state)
    for name, part in module.named_modules():
        for hook in part._load_state_dict_pre_hooks.values():
            before = dict(state)
            try:
                hook(state, name and f'{name}.', {}, False, [], [], [])
            except Exception:
                state = before  # Of another architecture: the loader names what does not fit.
    return state
