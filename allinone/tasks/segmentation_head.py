"""Decode heads of mmseg as functions of feature maps, for export."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .free_sizes import free_sizes
from .probe import FeatureMaps

if TYPE_CHECKING:
    from mmengine.model import BaseModel


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
