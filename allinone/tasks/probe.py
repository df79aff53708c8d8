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
# What a layer or a part raises on feature maps of a wrong shape or number
MISFITS = (RuntimeError, AssertionError, ValueError, IndexError)


def longest_side(size) -> int | None:
    """Longest side of a size in a config, ``S`` or ``(H, W)``; None if it is neither."""
    sides = size if isinstance(size, (tuple, list)) else [size]
    return max(sides) if sides and all(isinstance(side, int) for side in sides) else None


def describe(maps: FeatureMaps, size: int) -> str:
    """Channels and stride of each feature map of an image of ``size`` pixels a side."""
    maps = maps if isinstance(maps, (tuple, list)) else (maps,)
    return ', '.join(
        f'{i}: {m.shape[1]} channels at stride {size // m.shape[-1]}'
        if isinstance(m, Tensor) and m.dim() == 4
        else f'{i}: shape {tuple(getattr(m, "shape", ()))}'
        for i, m in enumerate(maps)
    )


@contextmanager
def fitting(
    key: str,
    model: nn.Module,
    parts: Sequence[str],
    giver: str,
    maps: FeatureMaps,
    size: int,
    chooser: str | None = None,
):
    """Say of what goes wrong inside that the first of ``parts`` does not fit ``maps``.

    ``chooser`` is the config key whose ``feature_indices`` select the maps; default: ``key``.

    Other errors, such as those of missing annotations, say nothing about the feature maps and pass.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, NotImplementedError) and str(error):
            # An operator of mmcv is not installed; the message says what to do.
            raise ConfigError(f'{key}: {error}') from error
        if not _is_misfit(error, model):
            raise
        name = next((part for part in parts if getattr(model, part, None) is not None), parts[0])
        channels = getattr(getattr(model, name, None), 'in_channels', None)
        raise ConfigError(
            f'{key}.{name}{f" has in_channels={channels} and" if channels else ""} does not fit '
            f'the maps it gets from {giver} ({describe(maps, size)}): '
            f'{error or type(error).__name__}; set its in_channels, or '
            f'{chooser or key}.feature_indices, to match'
        ) from error


def _is_misfit(error: Exception, model: nn.Module) -> bool:
    """Whether a part of the model does not take the shape or number of feature maps.

    Then the error is of these types, and raised in the ``forward`` of a part.
    Methods of the model and its heads decode, and may fail for the values of weights that are not
    initialised yet. Torch's layers without parameters (pools) fail for the size of the image.
    """
    if not isinstance(error, MISFITS) or isinstance(error, NotImplementedError):
        return False
    part, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == '_call_impl':
            part = trace.tb_frame.f_locals.get('self', part)
        trace = trace.tb_next
    if part is None or part is model:
        return False
    return not type(part).__module__.startswith('torch.') or any(True for _ in part.parameters())


def probe_heads(
    key: str,
    model: 'BaseModel',
    heads: Sequence[str],
    image: Tensor,
    samples: list,
    maps: FeatureMaps,
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
        Exception: What the model raises for another reason, of which the caller makes a note.
    """
    size = image.shape[-1]
    with fitting(key, model, ('neck',), 'the backbone', maps, size):
        levels = model.extract_feat(image)
    giver = 'the backbone' if getattr(model, 'neck', None) is None else 'its neck'
    with fitting(key, model, heads, giver, levels, size):
        _run(model, image, samples)
    auxiliary = getattr(model, 'auxiliary_head', None)
    # A backbone that gives a bare map in evaluation mode gives auxiliary heads others in training.
    if isinstance(levels, (tuple, list)):
        with fitting(key, model, ('auxiliary_head',), giver, levels, size):
            for head in auxiliary if isinstance(auxiliary, nn.ModuleList) else [auxiliary]:
                if head is not None and not wants_samples(head):
                    head(levels)
    return levels


def _run(model: 'BaseModel', image: Tensor, samples: list) -> None:
    """Run a model without annotations, in its ``'tensor'`` mode or else in its ``'predict'`` mode.

    The former is quick, but fails in some models or wants annotations (Sparse R-CNN, PointRend);
    training and prediction do not use it. The latter needs a ``test_cfg``.
    """
    first = None
    if not wants_samples(getattr(model, 'decode_head', None)):
        try:
            model(image, samples, mode='tensor')
            return
        except Exception as error:
            first = error
    try:
        model(image, samples, mode='predict')
    except Exception as error:
        known = isinstance(first, NotImplementedError) or (first and _is_misfit(first, model))
        raise (first if first and known else error) from error


def wants_samples(head: nn.Module | None) -> bool:
    """Whether a head takes more than feature maps, all that mmseg's ``'tensor'`` mode gives."""
    return head is not None and 'batch_data_samples' in signature(head.forward).parameters


def check_strides(key: str, head: nn.Module | None, levels: FeatureMaps, size: int) -> None:
    """Compare the strides that a dense head's priors are made for with its feature maps.

    They differ if one is at least 1.5 times the other.

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
    # A stride that does not divide the image, or below one pixel, gives no exact size to expect.
    pairs = [(e, f) for e, f in zip(expected, found) if e <= size and size % e == 0]
    # Layers without padding, and with uneven sizes, lose or add a pixel.
    if len(expected) != len(found) or any(not 2 / 3 < e / f < 3 / 2 for e, f in pairs):
        raise ConfigError(
            f'{key}: its head expects maps at strides {expected}, but its neck gives strides '
            f'{[int(f) for f in found]}; change the strides of the head, or {key}.feature_indices'
        )
