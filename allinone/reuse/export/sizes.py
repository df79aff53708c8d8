"""Size of the images that a graph takes, and how an image is brought to it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.config import Config
from torch import nn

from allinone.errors import ConfigError
from allinone.inference.preprocess import PLAIN, TestPipeline, find_pipeline, sizes_of
from allinone.inference.scale import AS_TESTED, image_scale
from allinone.models.allinone import AllInOne
from allinone.models.image_sizes import explain_size
from allinone.models.shared_backbone import run_backbone

REMEDY = 'give another --size'


class InputSize(NamedTuple):
    """The size of a graph's input.

    Attributes:
        height: In pixels.
        width: In pixels.
        scale: ``(width, height)`` limit to which images are resized before they are padded.
        keep_ratio: Whether the aspect ratio of images is kept.
        source: Where the size comes from, in words.
    """

    height: int
    width: int
    scale: tuple[int, int]
    keep_ratio: bool
    source: str


def input_size(
    cfg: Config, model: AllInOne, tasks: Sequence[str], wanted: Sequence[int] | None
) -> InputSize:
    """The requested size, else that of the test pipelines.

    Args:
        cfg: The joint config.
        model: Its model.
        tasks: Tasks of the graph.
        wanted: ``(height, width)``; None: as :class:`allinone.AllInOneInferencer` resizes images,
            rounded up to what the model takes.

    Raises:
        ConfigError: If no size is known, or the model does not take the requested one.
    """
    multiple = padding_multiple(model)
    whole = [task for task in tasks if model.kinds[task].sees_whole_images]
    resize = image_scale(cfg, AS_TESTED, tasks, whole).resize
    keeps = resize is None or bool(resize.keep_ratio)
    if wanted is not None:
        height, width = (_side(side) for side in wanted)
        odd = [side for side in (height, width) if side % multiple]
        if odd:
            lower, upper = _multiples(height, width, multiple)
            raise ConfigError(
                f'--size is {height} {width}, but model.data_preprocessor.pad_size_divisor is '
                f'{multiple}; give multiples of it, such as {lower} or {upper}'
            )
        return InputSize(height, width, (width, height), keeps, '--size')
    source = 'the test pipelines'
    if resize is not None:
        width, height = resize.scale
    else:
        height, width = _piped(cfg, tasks) or (0, 0)
        keeps = False
    if not height:
        raise ConfigError(
            '--size is not given, and neither inference.scale nor a test pipeline of '
            f'{", ".join(tasks)} has a size; give --size HEIGHT WIDTH'
        )
    scale = (width, height)
    height, width = (-(-side // multiple) * multiple for side in (height, width))
    return InputSize(height, width, scale, keeps, source)


def require_size(cfg: Config, backbone: nn.Module, size: tuple[int, int]) -> list[int]:
    """Strides of the feature maps at a size, coarsest last.

    Raises:
        ConfigError: If the backbone does not take images of this size.
    """
    try:
        with torch.no_grad():
            maps = run_backbone(backbone, torch.zeros(1, 3, *size))
    except Exception as error:
        words = explain_size(cfg.model.backbone, error, REMEDY)
        if words is None:
            words = f'the backbone fails on images of this size ({" ".join(str(error).split())})'
        raise ConfigError(f'--size {size[0]} {size[1]}: {words}') from error
    return sorted(round(size[0] / level.shape[-2]) for level in maps if level.dim() == 4)


def padding_multiple(model: AllInOne) -> int:
    return int(getattr(model.data_preprocessor, 'pad_size_divisor', 1) or 1)


def dynamic_multiple(model: AllInOne, strides: Sequence[int]) -> int:
    """What heights and widths of a graph of any size are multiples of."""
    return math.lcm(padding_multiple(model), max(strides, default=1))


def _piped(cfg: Config, tasks: Sequence[str]) -> tuple[int, int] | None:
    """Height and width of what the test pipelines make of an image of 640 x 480 pixels."""
    for task in tasks:
        pipeline = find_pipeline(cfg, task)
        if pipeline is not None:
            packed = TestPipeline(pipeline, 'give --size HEIGHT WIDTH')(PLAIN)
            return max((int(height), int(width)) for height, width in sizes_of(packed))
    return None


def _multiples(height: int, width: int, multiple: int) -> tuple[str, str]:
    lower = [max(side // multiple, 1) * multiple for side in (height, width)]
    upper = [-(-side // multiple) * multiple for side in (height, width)]
    return f'{lower[0]} {lower[1]}', f'{upper[0]} {upper[1]}'


def _side(side) -> int:
    if type(side) is not int or side < 1:
        raise ConfigError(f'--size has {side!r}; give height and width in pixels')
    return side
