"""Which detections find which annotated boxes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)


class Boxes(NamedTuple):
    """Annotated boxes of an image: ``(n, 4)`` corners, labels, and which of them are ignored."""

    corners: NDArray
    labels: NDArray
    ignored: NDArray


def overlaps(found: NDArray, boxes: Boxes) -> NDArray:
    """``(D, G)``: IoU; with an ignored box (a crowd) the share of the detection inside it."""
    low = np.maximum(found[:, None, :2], boxes.corners[None, :, :2])
    high = np.minimum(found[:, None, 2:], boxes.corners[None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(2)
    areas = (found[:, 2:] - found[:, :2]).prod(1)
    others = (boxes.corners[:, 2:] - boxes.corners[:, :2]).prod(1)
    union = areas[:, None] + np.where(boxes.ignored, 0, others - inside)
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)


def match(iou: NDArray, same: NDArray, ignored: NDArray) -> tuple[NDArray, NDArray]:
    """COCO's matching at its 10 thresholds.

    In the order of the scores, a detection takes the box of its class that it overlaps most among
    those that are free; an ignored box only if there is no other, and as often as it may be.

    Args:
        iou: ``(D, G)``, the detections by falling score.
        same: ``(D, G)``, whether both have the same class.
        ignored: ``(G,)``.

    Returns:
        ``right`` and ``left_out`` ``(D, 10)``; left out is what was matched with an ignored box.
    """
    thresholds = np.minimum(COCO_THRESHOLDS, 1 - 1e-10)
    right = np.zeros((len(iou), len(thresholds)), bool)
    left_out = right.copy()
    iou = np.where(same, iou, -1.0)
    free = np.ones((len(thresholds), len(ignored)), bool)
    rows = np.arange(len(thresholds))
    # Most detections reach no box, so few are looked at one by one.
    for index in np.flatnonzero((iou >= thresholds[0]).any(1)):
        reached = (iou[index] >= thresholds[:, None]) & (free | ignored)
        reached_real = reached & ~ignored
        any_real = reached_real.any(1)
        allowed = np.where(any_real[:, None], reached_real, reached)
        # Of equal overlaps the last one, as in COCO
        values = np.where(allowed, iou[index], -1.0)[:, ::-1]
        taken = values.shape[1] - 1 - values.argmax(1)
        right[index] = any_real
        left_out[index] = allowed.any(1) & ~any_real
        free[rows[any_real], taken[any_real]] = False
    return right, left_out


def pairs_by_overlap(iou: NDArray, least: float) -> tuple[NDArray, NDArray]:
    """Pairs of detections and boxes of any class, each in one pair, by falling IoU.

    Args:
        iou: ``(D, G)``.
        least: IoU of a pair.

    Returns:
        Indices of the detections and of their boxes.
    """
    found, boxes = np.nonzero(iou >= least)
    order = np.argsort(-iou[found, boxes], kind='stable')
    used: tuple[set[int], set[int]] = set(), set()
    kept = []
    for place, i, j in zip(order, found[order].tolist(), boxes[order].tolist()):
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            kept.append(place)
    return found[kept], boxes[kept]
