"""The feature maps of a backbone, found by running it once on a blank image."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import Tensor

from allinone.errors import ConfigError
from allinone.registry.scopes import scope_of_type

from .build_errors import fault

SIZES = (128, 224, 256, 384, 512)  # Heights and widths of the image, in the order of the attempts


class FeatureMap(NamedTuple):
    """A feature map of a backbone.

    Attributes:
        number: Its place among all of the backbone.
        channels: Number of channels.
        stride: Pixels of the image between two places; None of a vector without places.
    """

    number: int
    channels: int
    stride: int | None


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
    part = ConfigDict({name: value for name, value in cfg.items() if name != 'init_cfg'})
    part.setdefault('_scope_', scope_of_type(part.get('type')) or 'allinone')
    try:
        with torch.random.fork_rng([]):
            backbone = MMENGINE_MODELS.build(part)
    except Exception as error:
        raise ConfigError(fault(key, part, error)) from error
    backbone.eval()  # Returns None for those whose train() does.
    own = getattr(backbone, 'img_size', None)
    own = max(own) if isinstance(own, Sequence) else own
    failure: Exception | None = None
    for size in [own, *SIZES] if isinstance(own, int) else SIZES:
        try:
            with torch.no_grad(), torch.random.fork_rng([]):
                found = backbone(torch.zeros(1, 3, size, size))
        except Exception as error:
            failure = failure or error
            continue
        found = found if isinstance(found, (tuple, list)) else (found,)
        return [_described(index, value, size) for index, value in enumerate(found)]
    raise ConfigError(
        f'{key} fails on blank images of {SIZES[0]} to {SIZES[-1]} pixels, so what tasks leave '
        f'out does not follow from it: {type(failure).__name__}: {failure}; write in_channels '
        'and strides of the tasks'
    ) from failure


def _described(index: int, value: Tensor, size: int) -> FeatureMap:
    if not isinstance(value, Tensor) or value.dim() < 2:
        return FeatureMap(index, 0, None)
    stride = size // value.shape[-1] if value.dim() == 4 else None
    return FeatureMap(index, value.shape[1] if value.dim() != 3 else value.shape[2], stride)
