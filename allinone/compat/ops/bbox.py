"""Overlaps of boxes (x1, y1, x2, y2)."""

import torch
from torch import Tensor

from .precision import to_kernel_dtype

__all__ = ['bbox_overlaps']

_OF_UNION = 0


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Writes the overlaps to ``ious``, NaN where two boxes are both empty.

    Args:
        bboxes1: Boxes, shape (M, 4).
        bboxes2: Boxes, shape (N, 4), or (M, 4) if aligned.
        ious: Output, shape (M, N), or (M,) if aligned.
        mode: 0 for the intersection over the union, 1 for that over the first box.
        aligned: Whether to compare each box with that of the same row only.
        offset: 0, or 1 where x2 and y2 name the last pixel inside (width = x2 - x1 + 1).
    """
    first, second = to_kernel_dtype(bboxes1, bboxes2)
    if not aligned:
        first = first.unsqueeze(1)
    near, far = (
        torch.maximum(first[..., :2], second[..., :2]),
        torch.minimum(first[..., 2:], second[..., 2:]),
    )
    common = (far - near + offset).clamp(min=0).prod(-1)
    area1, area2 = (
        (boxes[..., 2:] - boxes[..., :2] + offset).prod(-1) for boxes in (first, second)
    )
    ious.copy_(common / (area1 + area2 - common if mode == _OF_UNION else area1))
