"""Non-maximum suppression: greedy, soft and matching."""

from ctypes import c_float

import torch
import torchvision  # noqa: F401  # registers `torch.ops.torchvision`
from torch import Tensor

from .precision import to_kernel_dtype

__all__ = [
    'nms',
    'nms_match',
    'softnms',
]

_NAIVE, _LINEAR, _GAUSSIAN = 0, 1, 2


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: Boxes (x1, y1, x2, y2) in pixels, shape (N, 4), floating point.
        scores: Scores, shape (N,), floating point.
        iou_threshold: A box is dropped if its IoU with a kept one is above this.
        offset: 0, or 1 where x2 and y2 name the last pixel inside (width = x2 - x1 + 1).

    Returns:
        Indices of the kept boxes in descending order of score, shape (K,), int64.
    """
    boxes, scores = to_kernel_dtype(boxes, scores)
    if offset:
        # Moving the far corner gives the same areas and intersections as mmcv's `+ offset`.
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # mmcv holds the threshold in float32, torchvision in float64. Without rounding, two boxes whose
    # IoU equals the threshold (0.6, say) would be treated differently.
    return torch.ops.torchvision.nms(boxes, scores, c_float(iou_threshold).value)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS: lowers the scores of overlapping boxes instead of dropping the boxes.

    Follows Bodla et al., "Soft-NMS -- Improving Object Detection With One Line of Code"
    (ICCV 2017). Each round keeps the best remaining box, multiplies the others' scores by a weight
    that decreases with their IoU, and drops boxes with a score below ``min_score``. As in mmcv, the
    box with the highest score is kept whatever its score. Among equal scores the lowest index comes
    first; mmcv's order then depends on its swaps.

    Args:
        boxes: Boxes (x1, y1, x2, y2) in pixels, shape (N, 4).
        scores: Scores, shape (N,).
        dets: Output, shape (N, 5); the first K rows receive (x1, y1, x2, y2, new score).
        iou_threshold: Lowest IoU at which the naive and linear methods lower the score.
        sigma: Width of the Gaussian method.
        min_score: Score below which a box is dropped.
        method: 0 naive (weight 0), 1 linear (1 - IoU), 2 Gaussian (exp(-IoU^2 / sigma)).
        offset: See ``nms``.

    Returns:
        Indices of the kept boxes in the order of ``dets``, shape (K,), int64, on the CPU.
    """
    index = torch.arange(len(boxes), device=boxes.device)
    kept: list[int] = []
    while len(index):
        top = int(scores.argmax())
        dets[len(kept), :4] = boxes[top]
        dets[len(kept), 4] = scores[top]
        kept.append(int(index[top]))

        overlap = _overlaps(boxes[top], boxes, offset)
        scores = scores * _soft_weight(overlap, iou_threshold, sigma, method)
        left = scores >= min_score
        left[top] = False
        boxes, scores, index = boxes[left], scores[left], index[left]
    return torch.tensor(kept, dtype=torch.long)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups each kept box with the boxes it suppresses.

    Args:
        dets: Boxes and scores (x1, y1, x2, y2, score), shape (N, 5).
        iou_threshold: A box is suppressed if its IoU with a kept one is at least this.

    Returns:
        One list per kept box in descending order of score: its index, then those of the boxes it
        suppresses in descending order of score.
    """
    order = dets[:, 4].argsort(descending=True)
    groups: list[list[int]] = []
    while len(order):
        top, rest = order[0], order[1:]
        suppressed = _overlaps(dets[top, :4], dets[rest, :4], offset=0) >= iou_threshold
        groups.append([int(top), *rest[suppressed].tolist()])
        order = rest[~suppressed]
    return groups


def _overlaps(box: Tensor, boxes: Tensor, offset: int) -> Tensor:
    """Returns the IoU of ``box`` (4,) with each of ``boxes`` (N, 4); 0 where both are empty."""
    size = boxes[:, 2:] - boxes[:, :2] + offset
    own_size = box[2:] - box[:2] + offset
    common = torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2]) + offset
    intersection = common.clamp(min=0).prod(1)
    union = size.prod(1) + own_size.prod() - intersection
    return (intersection / union).nan_to_num(nan=0.0)


def _soft_weight(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    """Returns the score factor of a box with IoU ``overlap`` with the kept box."""
    if method == _GAUSSIAN:
        return torch.exp(-(overlap**2) / sigma)
    if method not in (_NAIVE, _LINEAR):
        raise ValueError(f'Unknown method {method} of Soft-NMS; known are 0, 1 and 2.')
    lowered = 1 - overlap if method == _LINEAR else torch.zeros_like(overlap)
    return torch.where(overlap >= iou_threshold, lowered, torch.ones_like(overlap))
