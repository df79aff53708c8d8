"""Parts that are added to an architecture, so weights of the architecture lack them."""

from collections.abc import Iterable

from torch import Tensor, nn

from .tables import RELATIVE

# Deformable and switchable convolutions, by the module of their class
OPERATORS = 'mmcv.ops'
# Of recursive feature pyramids; MAE's authors give no tables
NAMES = ('rfp_conv', RELATIVE)


class AddedParts:
    """Names of parameters that a state dict may lack, though others of their block are loaded.

    These are plugins, operators of mmcv, and what changes nothing at its start: new norms, scales
    of 1, layers of zeros. Others, such as a squeeze-and-excitation or a layer scale of 1e-5, would
    make loaded features random or small.

    Args:
        backbone: The module, with its values from before loading.
        loaded: Names that are loaded.
    """

    def __init__(self, backbone: nn.Module, loaded: Iterable[str]):
        self._params = dict(backbone.named_parameters())
        self._modules = dict(backbone.named_modules())
        self._loaded = {start for name in loaded for start in _starts(name)}

    def __contains__(self, name: str) -> bool:
        owners = [self._modules[start] for start in _starts(name) if start in self._modules]
        if any(part in name.split('.') for part in NAMES):
            return True
        if any(type(owner).__module__.startswith(OPERATORS) for owner in owners):
            return True
        plugins = {plugin for owner in owners for plugin in _plugins(owner)}
        return not plugins.isdisjoint(name.split('.')) or self._neutral(name)

    def _neutral(self, name: str) -> bool:
        """Whether the missing part around a tensor changes nothing, as far as its values tell."""
        part = next(start for start in _starts(name) if start not in self._loaded)
        values = {n: p for n, p in self._params.items() if n == part or n.startswith(f'{part}.')}
        if any(value.is_meta for value in values.values()):
            return True
        if all(_all(value, 0) or _all(value, 1) for value in values.values()):
            return True
        return any(_all(value, 0) for n, value in values.items() if not n.endswith('bias'))


def _all(value: Tensor, number: int) -> bool:
    return bool((value == number).all())


def _starts(name: str) -> list[str]:
    """``a``, ``a.b`` and ``a.b.c`` of ``a.b.c``."""
    parts = name.split('.')
    return ['.'.join(parts[: count + 1]) for count in range(len(parts))]


def _plugins(module: nn.Module) -> Iterable[str]:
    """Names of the plugins of a block, as mmdet, mmseg and mmpretrain keep them."""
    for attribute, names in vars(module).items():
        if attribute.endswith('plugin_names') and isinstance(names, (list, tuple)):
            yield from names
