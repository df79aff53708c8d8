"""Segmentors whose losses take nothing from ignored pixels."""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from allinone.errors import ConfigError

from .annotated_classes import ANNOTATED

if TYPE_CHECKING:
    from mmengine.model import BaseModel

# Where mmseg's heads compute their losses from the label map alone, pixel by pixel. Others also
# learn which classes an image has (EncHead), edges (PIDHead, STDCHead) or masks (Mask2FormerHead).
HEADS = {
    *('BaseDecodeHead', 'DAHead', 'DDRHead', 'IterativeDecodeHead', 'PointHead'),
}
PARTS = ('decode_head', 'auxiliary_head')


def check_ignores(key: str, model: 'BaseModel') -> None:
    """Check that all losses of a segmentor leave ignored pixels out.

    Args:
        key: Config key of the task, for messages.
        model: A segmentor.

    Raises:
        ConfigError: If a head learns something else of an image than the classes of its pixels, or
            a loss gives ignored pixels a gradient.
    """
    remedy = (
        'its data must annotate all classes: complete the labels (tools/pseudo_label.py) and '
        f'leave metainfo.{ANNOTATED} out'
    )
    for path, head in _heads(model):
        name = type(head).__name__
        home = getattr(getattr(type(head), 'loss_by_feat', None), '__qualname__', '')
        if home.partition('.')[0] not in HEADS and not _without_presence(head):
            raise ConfigError(
                f'{key}.{path} is a {name}, which learns more of an image than the classes of its '
                f'pixels, so objects without a label are background; {remedy}, or use a head that '
                'scores each pixel (UPerHead, FCNHead)'
            )
        for loss in _losses(head):
            if _leaks(loss, head):
                raise ConfigError(
                    f'{key}.{path}.loss_decode is {type(loss).__name__}, in which ignored pixels '
                    f'count as background; {remedy}, or use CrossEntropyLoss'
                )


def _heads(model: 'BaseModel') -> Iterator[tuple[str, Any]]:
    for name in PARTS:
        head = getattr(model, name, None)
        if isinstance(head, nn.ModuleList):
            yield from ((f'{name}.{number}', part) for number, part in enumerate(head))
        elif head is not None:
            yield name, head


def _without_presence(head: nn.Module) -> bool:
    """Whether a context encoding head has no loss of the classes that an image has."""
    return type(head).__name__ == 'EncHead' and not getattr(head, 'use_se_loss', True)


def _losses(head: Any) -> list[nn.Module]:
    losses = getattr(head, 'loss_decode', None)
    return list(losses) if isinstance(losses, nn.ModuleList) else list(filter(None, [losses]))


def _leaks(loss: nn.Module, head: Any) -> bool:
    """Whether a loss gives the scores of ignored pixels a gradient, on a map of 4 x 4 pixels."""
    generator = torch.Generator().manual_seed(0)
    channels = getattr(head, 'out_channels', None) or head.num_classes
    device = next((p.device for p in head.parameters()), torch.device('cpu'))
    scores = torch.randn(1, channels, 4, 4, generator=generator).to(device).requires_grad_()
    labels = torch.arange(16).reshape(1, 4, 4).remainder(head.num_classes).to(device)
    labels[:, 2:] = head.ignore_index
    # What fails for another reason says nothing, and fails in training, too.
    with suppress(Exception), torch.enable_grad():
        options = dict(weight=None, ignore_index=head.ignore_index)
        accepted = inspect.signature(loss.forward).parameters
        value = loss(scores, labels, **{k: v for k, v in options.items() if k in accepted})
        (grad,) = torch.autograd.grad(value.sum(), scores)
        return bool(grad[..., 2:, :].count_nonzero())
    return False
