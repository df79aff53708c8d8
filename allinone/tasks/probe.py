"""A probe of a task: one image through its model, to check that its parts fit each other."""

from collections.abc import Sequence
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING

from torch import Tensor, nn

from allinone.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.model import BaseModel

FeatureMaps = Tensor | Sequence[Tensor]


def describe(maps: FeatureMaps, size: int) -> str:
    """Channels and stride of each feature map of an image of ``size`` pixels a side."""
    maps = maps if isinstance(maps, (tuple, list)) else (maps,)
    return ', '.join(
        f'{i}: {m.shape[1]} channels at stride {size // m.shape[-1]}'
        if m.dim() == 4
        else f'{i}: shape {tuple(m.shape)}'
        for i, m in enumerate(maps)
    )


@contextmanager
def fitting(
    key: str, model: nn.Module, parts: Sequence[str], giver: str, maps: FeatureMaps, size: int
):
    """Say of what goes wrong inside that the first of ``parts`` does not fit ``maps``."""
    try:
        yield
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        name = next((part for part in parts if getattr(model, part, None) is not None), parts[0])
        channels = getattr(getattr(model, name, None), 'in_channels', None)
        raise ConfigError(
            f'{key}.{name}{f" has in_channels={channels} and" if channels else ""} does not fit '
            f'the maps it gets from {giver} ({describe(maps, size)}): '
            f'{error or type(error).__name__}; set its in_channels, or {key}.feature_indices, to '
            'match'
        ) from error


def probe_heads(
    key: str,
    model: 'BaseModel',
    heads: Sequence[str],
    image: Tensor,
    samples: list,
    maps: Sequence[Tensor],
) -> FeatureMaps:
    """Run neck, head and auxiliary heads of a model on the feature maps of one image.

    Args:
        key: The config key of the task.
        model: The task's model, whose backbone answers ``image`` with ``maps``.
        heads: Its attributes that may be the head.
        image: ``(1, 3, S, S)``.
        samples: One data sample.
        maps: What the model's backbone gives.

    Returns:
        The feature maps that the head gets.

    Raises:
        ConfigError: If a part does not fit the feature maps that it gets.
    """
    size = image.shape[-1]
    with fitting(key, model, ('neck',), 'the backbone', maps, size):
        levels = model.extract_feat(image)
    giver = 'the backbone' if getattr(model, 'neck', None) is None else 'its neck'
    with fitting(key, model, heads, giver, levels, size):
        model(image, samples, mode='predict' if _wants_samples(model) else 'tensor')
    auxiliary = getattr(model, 'auxiliary_head', None)
    with fitting(key, model, ('auxiliary_head',), giver, levels, size):
        for head in auxiliary if isinstance(auxiliary, nn.ModuleList) else [auxiliary]:
            if head is not None:
                head(levels)
    return levels


def _wants_samples(model: nn.Module) -> bool:
    """Whether mmseg's ``mode='tensor'`` fails: it hands its heads maps alone (MaskFormer's)."""
    head = getattr(model, 'decode_head', None)
    return head is not None and 'batch_data_samples' in signature(head.forward).parameters


def check_strides(key: str, head: nn.Module | None, levels: FeatureMaps, size: int) -> None:
    """Compare the strides that a dense head's priors are made for with its feature maps.

    Raises:
        ConfigError: If they differ.
    """
    generator = getattr(head, 'prior_generator', None)
    if generator is None or not isinstance(levels, (tuple, list)):
        return
    expected = [
        stride[0] if isinstance(stride, (tuple, list)) else stride for stride in generator.strides
    ]
    found = [size / level.shape[-1] for level in levels]
    # Below one pixel a map says nothing about its stride.
    pairs = [(e, f) for e, f in zip(expected, found) if e <= size]
    if len(expected) != len(found) or any(e != f for e, f in pairs):
        raise ConfigError(
            f'{key}: its head expects maps at strides {expected}, but its neck gives strides '
            f'{[int(f) for f in found]}; change the strides of the head, or {key}.feature_indices'
        )
