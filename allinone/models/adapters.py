"""Adapters: small task-specific changes to the shared backbone's weights."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from allinone.config.parts import SHARED_NECK
from allinone.errors import ConfigError
from allinone.registry import MODELS
from allinone.registry.options import build_kind, check_count, check_number

from .shared_neck import BackboneWithNeck, full_name, short_name


class BackboneAdapter(nn.Module):
    """Task-specific values for some backbone parameters, computed from few trainable parameters.

    The backbone uses them for this task only, in a separate pass; the other tasks use the shared
    values. When training begins, both are equal. Because an adapter changes values and adds no
    layers, it can be written into the weights of an upstream model.

    Args:
        backbone: The shared backbone; no reference to it is stored.
        layers: Adapt only layers below modules of these names. Default: all that this adapter
            supports.

    Raises:
        ConfigError: If there is nothing to adapt, or the backbone uses activation checkpointing
            (``with_cp``), which would recompute layers without the new values.
    """

    def __init__(self, backbone: nn.Module, layers: Sequence[str] | None = None):
        super().__init__()
        if any(getattr(module, 'with_cp', False) for module in backbone.modules()):
            raise ConfigError('model.backbone.with_cp is set; an adapter cannot work with it')
        fitting = [
            (short_name(backbone, name), module)
            for name, module in backbone.named_modules()
            if self.fits(module)
        ]
        chosen = [
            (name, module) for name, module in fitting if layers is None or _is_below(name, layers)
        ]
        idle = [
            layer for layer in layers or () if not any(_is_below(n, [layer]) for n, _ in chosen)
        ]
        if not chosen or idle:
            wrong = f'has {idle[0]!r}' if chosen else f'is {layers}'
            raise ConfigError(
                f'layers {wrong}, where {type(self).__name__} finds nothing to adapt; the '
                f'parts of the backbone are {_parts(backbone)}'
            )
        # Module names may not contain a dot.
        self.changes = nn.ModuleDict(
            {name.replace('.', '-'): self.change_of(module) for name, module in chosen}
        )

    def fits(self, module: nn.Module) -> bool:
        """Whether the adapter supports this layer."""
        raise NotImplementedError(f'{type(self).__name__} does not define fits()')

    def change_of(self, module: Any) -> nn.Module:
        """Module that maps a layer to its ``{parameter: new value}``."""
        raise NotImplementedError(f'{type(self).__name__} does not define change_of()')

    def values(self, backbone: nn.Module) -> dict[str, Tensor]:
        """``{name of a backbone parameter: new value}``, of the same shapes."""
        return dict(self._values(backbone))

    def _values(self, backbone: nn.Module) -> Iterator[tuple[str, Tensor]]:
        for key, change in self.changes.items():
            name = full_name(backbone, key.replace('-', '.'))
            for parameter, value in change(backbone.get_submodule(name)).items():
                yield f'{name}.{parameter}', value


@MODELS.register_module()
class LowRankAdapter(BackboneAdapter):
    r"""Low-rank changes to the weights of 1 x 1 convolutions and linear layers.

    `LoRA <https://arxiv.org/abs/2106.09685>`_, equation 3:

    .. math:: W' = W + \frac{\alpha}{r} B A, \quad B \in R^{out \times r}, A \in R^{r \times in}

    A is initialised like the weight of a linear layer, B with zeros.

    Args:
        backbone: The shared backbone.
        rank: r, at most the number of a layer's inputs or outputs.
        alpha: The scale. Default: the rank, which makes the factor 1.
        layers: As in :class:`BackboneAdapter`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        rank: int = 4,
        alpha: float | None = None,
        layers: Sequence[str] | None = None,
    ):
        self.rank = check_count('rank', rank)
        alpha = rank if alpha is None else check_number('alpha', alpha, 0, open_low=True)
        self.scale = alpha / rank
        super().__init__(backbone, layers)

    def fits(self, module: nn.Module) -> bool:
        if isinstance(module, nn.Conv2d):
            return module.kernel_size == (1, 1) and module.groups == 1
        return isinstance(module, nn.Linear)

    def change_of(self, module: nn.Conv2d | nn.Linear) -> nn.Module:
        return _LowRankChange(module.weight, self.rank, self.scale)


class _LowRankChange(nn.Module):
    def __init__(self, weight: Tensor, rank: int, scale: float):
        super().__init__()
        outputs, inputs = weight.shape[:2]
        rank = min(rank, outputs, inputs)
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, layer: nn.Conv2d | nn.Linear) -> dict[str, Tensor]:
        change = self.scale * (self.up @ self.down)
        return dict(weight=layer.weight + change.view_as(layer.weight))


@MODELS.register_module()
class FiLMAdapter(BackboneAdapter):
    r"""Task-specific scale and shift of each channel after the backbone's normalisation layers.

    `FiLM <https://arxiv.org/abs/1709.07871>`_ with task-specific constants instead of a network's
    outputs, as in the `residual adapters <https://arxiv.org/abs/1705.08045>`_ of one domain:

    .. math:: y' = (1 + a) y + b = (1 + a) \gamma \hat x + (1 + a) \beta + b

    Args:
        backbone: The shared backbone.
        layers: As in :class:`BackboneAdapter`.
    """

    def fits(self, module: nn.Module) -> bool:
        norm = isinstance(module, (_NormBase, nn.GroupNorm, nn.LayerNorm))
        return norm and getattr(module, 'weight', None) is not None and module.bias is not None

    def change_of(self, module: _NormBase | nn.GroupNorm | nn.LayerNorm) -> nn.Module:
        return _FiLMChange(module.weight)


class _FiLMChange(nn.Module):
    def __init__(self, weight: Tensor):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros_like(weight))
        self.shift = nn.Parameter(torch.zeros_like(weight))

    def forward(self, layer: _NormBase | nn.GroupNorm | nn.LayerNorm) -> dict[str, Tensor]:
        factor = 1 + self.scale
        return dict(weight=factor * layer.weight, bias=factor * layer.bias + self.shift)


def build_adapter(key: str, cfg: Mapping, backbone: nn.Module) -> BackboneAdapter:
    """The adapter of a task from its config.

    Raises:
        ConfigError: Naming ``key``, if there is no such adapter or it does not fit the backbone.
    """
    remedy = "give dict(type='LowRankAdapter', rank=4) or dict(type='FiLMAdapter')"
    return build_kind(key, cfg, MODELS, BackboneAdapter, remedy, backbone)


def _parts(backbone: nn.Module) -> list[str]:
    if not isinstance(backbone, BackboneWithNeck):
        return [name for name, _ in backbone.named_children()]
    return [*(name for name, _ in backbone.backbone.named_children()), SHARED_NECK]


def _is_below(name: str, layers: Sequence[str]) -> bool:
    return any(name == layer or name.startswith(f'{layer}.') for layer in layers)
