"""The feature maps of a backbone, found by running it once on a blank image."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from typing import NamedTuple

import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from allinone.errors import ConfigError
from allinone.registry.scopes import scope_of_type

from .build_errors import named

FINEST = 32  # Places a side of the deepest map that a neck gets
SIZES = (128, 224, 256, 384, 512)  # Heights and widths of the image, in the order of the attempts


class FeatureMap(NamedTuple):
    """A feature map of a backbone.

    Attributes:
        number: Its place among all of the backbone.
        channels: Number of channels.
        stride: Pixels of the image between two places, a fraction where a neck enlarges an odd
            stride; None of a vector without places.
    """

    number: int
    channels: int
    stride: float | None


def described(maps: Iterable[FeatureMap]) -> str:
    """``0: 24 channels at stride 4, 1: ...``."""
    return ', '.join(
        f'{found.number}: {found.channels} channels'
        + ('' if found.stride is None else f' at stride {found.stride}')
        for found in maps
    )


def feature_maps(key: str, cfg: Mapping) -> list[FeatureMap]:
    """The feature maps of a backbone.

    Args:
        key: Its config key, for messages.
        cfg: Its config; weights are not read.

    Raises:
        ConfigError: If it cannot be built, or run on an image of any usual size.
    """
    return running_backbone(key, cfg)[1]


def running_backbone(key: str, cfg: Mapping) -> tuple[nn.Module, list[FeatureMap]]:
    """A backbone in evaluation mode with its feature maps; arguments as in :func:`feature_maps`.

    If its layers allow it, it is on the meta device, where weights take no memory.
    """
    part = ConfigDict({name: value for name, value in cfg.items() if name != 'init_cfg'})
    part.setdefault('_scope_', scope_of_type(part.get('type')) or 'allinone')
    failure: Exception | None = None
    for build in (_on_meta, _on_cpu):
        backbone = build(key, part)
        if backbone is None:
            continue
        failure = None
        for size in _sizes(backbone):
            try:
                return backbone, _of_any_size(backbone, size)
            except Exception as error:
                failure = failure or error
    raise ConfigError(
        f'{key} fails on blank images of {SIZES[0]} to {SIZES[-1]} pixels, so what tasks leave '
        f'out does not follow from it: {type(failure).__name__}: {failure}; write in_channels '
        'and strides of the tasks'
    ) from failure


def _of_any_size(backbone: nn.Module, size: int) -> list[FeatureMap]:
    """The feature maps with strides that hold for images of all sizes.

    Layers without padding lose places at the borders. How many places a larger image adds tells the
    stride; of a backbone with one size of images the strides are the finest one, doubled.
    """
    maps = maps_at(backbone, size)
    strides = [found.stride for found in maps if found.stride is not None]
    if all(float(s).is_integer() and _doublings(s, strides).is_integer() for s in strides):
        return maps
    try:
        larger = maps_at(backbone, 2 * size)
    except Exception:
        exact = [min(strides) * 2 ** round(_doublings(s, strides)) for s in strides]
    else:
        more = [found.stride for found in larger if found.stride is not None]
        exact = [1 / (2 / b - 1 / a) if b < 2 * a else a for a, b in zip(strides, more)]
    left = iter(exact)
    return [m if m.stride is None else m._replace(stride=_whole(next(left))) for m in maps]


def _doublings(stride: float, strides: Sequence[float]) -> float:
    return math.log2(stride / min(strides))


@torch.no_grad()
def maps_at(backbone: nn.Module, height: int, width: int | None = None) -> list[FeatureMap]:
    """The feature maps on a blank image. Raises what the backbone raises."""
    width = width or height
    meta = next(backbone.parameters()).is_meta
    with torch.random.fork_rng([]), on_meta() if meta else nullcontext():
        found = backbone(torch.zeros(1, 3, height, width))
    found = found if isinstance(found, (tuple, list)) else (found,)
    return [_described(index, value, width) for index, value in enumerate(found)]


@torch.no_grad()
def maps_of_neck(
    key: str, cfg: Mapping, maps: Sequence[FeatureMap], chooser: str | None = None
) -> list[FeatureMap]:
    """The feature maps that a neck makes of those of a backbone.

    Args:
        key: Its config key, for messages.
        cfg: Its config, with ``feature_indices`` of the backbone's maps that it takes.
        maps: Those of the backbone.
        chooser: The config key whose ``feature_indices`` select the maps; default: ``key``.

    Raises:
        ConfigError: If it cannot be built, or does not take the maps.
    """
    part = ConfigDict({name: cfg[name] for name in cfg if name not in ('tasks', 'feature_indices')})
    part.setdefault('_scope_', scope_of_type(part.get('type')) or 'allinone')
    chosen = cfg.get('feature_indices')
    seen = list(maps) if chosen is None else [maps[index] for index in chosen]
    # All maps have places, also after halving their size several times.
    strides = [Fraction(found.stride or 1).limit_denominator(FINEST) for found in seen]
    size = FINEST * math.lcm(*(stride.numerator for stride in strides))
    failure: Exception | None = None
    for build, context in ((_on_meta, on_meta), (_on_cpu, nullcontext)):
        neck = build(key, part)
        if neck is None:
            continue
        try:
            with torch.random.fork_rng([]), context():
                made = neck(tuple(_blank(found, size) for found in seen))
        except Exception as error:
            failure = error
            continue
        made = made if isinstance(made, (tuple, list)) else (made,)
        return [_described(index, value, size) for index, value in enumerate(made)]
    raise ConfigError(
        f'{key} fails on the feature maps that it gets from the backbone ({described(seen)}): '
        f'{str(failure) or type(failure).__name__}; set its in_channels, or '
        f'{chooser or key}.feature_indices, to match'
    ) from failure


def _blank(found: FeatureMap, size: int) -> Tensor:
    side = round(size / (found.stride or size))
    return torch.zeros(1, found.channels, side, side)


class _RangesOnCPU(TorchFunctionMode):
    """Computes ranges on the CPU: backbones read numbers from them (rates of stochastic depth)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs['device'] = 'cpu'
        return func(*args, **kwargs)


@contextmanager
def on_meta() -> Iterator[None]:
    """In this context, modules are built on the meta device, without memory for weights."""
    with torch.device('meta'), _RangesOnCPU():
        yield


def _on_meta(key: str, part: ConfigDict) -> nn.Module | None:
    try:
        with on_meta():
            return _evaluated(MMENGINE_MODELS.build(part))
    except Exception:
        return None  # Its layers compute with values, or the config is wrong.


def _on_cpu(key: str, part: ConfigDict) -> nn.Module:
    with named(key, part), torch.random.fork_rng([]):
        return _evaluated(MMENGINE_MODELS.build(part))


def _evaluated(backbone: nn.Module) -> nn.Module:
    backbone.eval()  # Returns None for those whose train() does.
    return backbone


def _sizes(backbone: nn.Module) -> list[int]:
    own = getattr(backbone, 'img_size', None)
    own = max(own) if isinstance(own, Sequence) else own
    return [own, *SIZES] if isinstance(own, int) else [*SIZES]


def _described(index: int, value: Tensor, size: int) -> FeatureMap:
    if not isinstance(value, Tensor) or value.dim() < 2:
        return FeatureMap(index, 0, None)
    stride = _whole(size / value.shape[-1]) if value.dim() == 4 else None
    return FeatureMap(index, value.shape[1] if value.dim() != 3 else value.shape[2], stride)


def _whole(stride: float) -> float:
    """The number as an integer if it is one, but for rounding."""
    near = round(stride)
    return near if math.isclose(stride, near, rel_tol=1e-6) else stride
