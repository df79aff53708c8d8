"""Decode heads of mmseg as functions of feature maps, for export."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .probe import FeatureMaps

if TYPE_CHECKING:
    from mmengine.model import BaseModel


@contextmanager
def free_sizes():
    """Inside, layers that fix the size of maps when they are traced take maps of any size.

    Those of mmseg that enlarge maps by a factor round the size by ``int``. PyTorch decomposes
    pooling to a number of bins, as in PSPNet and UPerNet, for the size at which it is traced.
    """
    from mmseg.models.utils.wrappers import Upsample  # Slow to import

    upstream, pooling = Upsample.forward, nn.AdaptiveAvgPool2d.forward

    def forward(self, x: Tensor) -> Tensor:
        factor = self.scale_factor
        if self.size or not isinstance(factor, float) or not factor.is_integer():
            return upstream(self, x)
        size = [side * int(factor) for side in x.shape[-2:]]
        return F.interpolate(x, size, None, self.mode, self.align_corners)

    def pool(self, x: Tensor) -> Tensor:
        if not isinstance(x.shape[-1], torch.SymInt) and not isinstance(x.shape[-2], torch.SymInt):
            return pooling(self, x)
        counts = self.output_size
        counts = counts if isinstance(counts, (tuple, list)) else (counts, counts)
        rows, columns = (_bins(side, bins, x) for side, bins in zip(x.shape[-2:], counts))
        return rows @ x @ columns.T

    Upsample.forward = forward
    nn.AdaptiveAvgPool2d.forward = pool
    try:
        yield
    finally:
        Upsample.forward = upstream
        nn.AdaptiveAvgPool2d.forward = pooling


def _bins(side: int, count: int, like: Tensor) -> Tensor:
    """``(count, side)`` weights with which adaptive pooling takes the mean of each bin."""
    bins = torch.arange(count, device=like.device)
    first = torch.div(bins * side, count, rounding_mode='floor')
    last = torch.div((bins + 1) * side + count - 1, count, rounding_mode='floor')
    places = torch.arange(side, device=like.device)
    inside = (places >= first[:, None]) & (places < last[:, None])
    return inside.to(like.dtype) / (last - first)[:, None].to(like.dtype)


class SegmentationHead(nn.Module):
    """Neck and decode head, for export: ``{'logits': (N, C, H, W)}``, one channel if binary."""

    def __init__(self, model: 'BaseModel'):
        super().__init__()
        self.neck = model.neck if model.with_neck else None
        self.head, self.align_corners = model.decode_head, model.align_corners

    def forward(self, maps: FeatureMaps, size: tuple[int, int] | None = None) -> dict:
        maps = maps if isinstance(maps, Tensor) else tuple(maps)
        with free_sizes():
            logits = self.head(maps if self.neck is None else self.neck(maps))
        if size is not None:
            logits = F.interpolate(logits, size, mode='bilinear', align_corners=self.align_corners)
        return dict(logits=logits)


class SegmentationLabels(SegmentationHead):
    """As :class:`SegmentationHead`, to ``{'labels': (N, H, W)}``, uint8, or int32 of many classes.

    The class of each pixel is taken at the size of the input.
    """

    def __init__(self, model: 'BaseModel'):
        super().__init__(model)
        self.threshold = getattr(self.head, 'threshold', None)

    def forward(self, maps: FeatureMaps, size: tuple[int, int] | None = None) -> dict:
        logits = super().forward(maps, size)['logits'].float()
        if logits.shape[1] == 1:
            labels = logits[:, 0].sigmoid() > self.threshold
        else:
            labels = logits.argmax(1)
        return dict(labels=labels.to(torch.uint8 if logits.shape[1] <= 256 else torch.int32))
