"""Explain a failure of the backbone by the size of the images, and find a size that it takes."""

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from allinone.config.feature_maps import maps_at, running_backbone
from allinone.errors import ConfigError

from .shared_backbone import run_backbone

STEPS = (2, 4, 7, 8, 14, 16, 28, 32, 64, 128)  # Sides of patches, windows and strides
FIXED = (112, 128, 192, 224, 256, 288, 320, 384, 448, 512, 518, 640, 1024)  # Usual image sizes
REMEDY = (
    'resize or crop the images, or pad them by pad_size_divisor of model.data_preprocessor (for '
    'segmentation also size or size_divisor of the data_preprocessor of the task)'
)


def explain_size(cfg: Mapping, error: BaseException, remedy: str = REMEDY) -> str | None:
    """Say that images have a size that the backbone does not take.

    The backbone is built again, without its weights, to see if blank images of this size fail and
    others pass.

    Args:
        cfg: The config of the backbone.
        error: What a model raised.
        remedy: What to do.

    Returns:
        A sentence with the size and a near one that passes; None if the size is not the cause.
    """
    size = _size_in(error)
    if size is None or isinstance(error, (torch.OutOfMemoryError, ConfigError)):
        return None
    try:
        backbone, _ = running_backbone('model.backbone', cfg)
    except ConfigError:
        return None
    if _takes(backbone, *size):
        return None
    near = next((other for other in _larger(*size) if _takes(backbone, *other)), None)
    if near is None:
        return None
    words = f'{type(error).__name__}: {" ".join(str(error).split())}'.removesuffix(': ')
    return (
        f'model.backbone is a {type(backbone).__name__}, which takes no images of '
        f'{_text(size)} pixels (height x width): {words}; it takes {_text(near)}, for example: '
        f'{remedy}'
    )


def _size_in(error: BaseException) -> tuple[int, int] | None:
    """Height and width of the images with which the backbone was run when it failed."""
    trace, size = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code is run_backbone.__code__:
            height, width = trace.tb_frame.f_locals['x'].shape[-2:]
            size = int(height), int(width)
        trace = trace.tb_next
    return size


def _larger(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Sizes to pad to, from the nearest: multiples of a number, then squares."""
    for step in STEPS:
        yield -(-height // step) * step, -(-width // step) * step
    nearest = sorted(FIXED, key=lambda side: abs(side - max(height, width)))
    yield from ((side, side) for side in nearest)


def _takes(backbone: nn.Module, height: int, width: int) -> bool:
    try:
        maps_at(backbone, height, width)
    except Exception:
        return False
    return True


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'
