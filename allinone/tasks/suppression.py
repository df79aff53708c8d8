"""Non-maximum suppression with fixed shapes, for exported graphs."""

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop

NONE = -1.0  # Score of a row that is no box
OPERATOR = 'allinone::suppress'


class Suppression(nn.Module):
    """Greedy non-maximum suppression of a batch of images, class by class.

    The boxes and their order are those of mmcv's ``batched_nms`` with ``type='nms'``: boxes of
    different classes are moved apart, and a box is dropped if its IoU with a better one that is
    kept is above the threshold.

    Args:
        iou_threshold: The threshold.
        count: Number of boxes to keep of an image, K.
        class_agnostic: Whether boxes of different classes suppress each other.

    Attributes:
        as_operator: Whether suppression is one operator of the graph (``allinone::suppress``), for
            formats that have it; else it is a loop over tensor operations.
    """

    as_operator = False

    def __init__(self, iou_threshold: float, count: int, class_agnostic: bool = False):
        super().__init__()
        self.iou_threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
        self.count, self.class_agnostic = count, class_agnostic

    def forward(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The best K boxes, best first; rows that are left over have score 0 and label -1.

        Args:
            boxes: ``(N, M, 4)``, x1 y1 x2 y2.
            scores: ``(N, M)``, in any order; negative where a row is no box.
            labels: ``(N, M)``, int64.

        Returns:
            ``boxes`` ``(N, K, 4)``, ``scores`` ``(N, K)`` and ``labels`` ``(N, K)``.
        """
        apart = boxes
        if not self.class_agnostic:
            step = boxes.amax((1, 2)) + 1
            apart = boxes + (labels.to(boxes) * step[:, None])[..., None]
        if self.as_operator:
            kept = torch.ops.allinone.suppress(apart, scores, self.iou_threshold, self.count)
        else:
            kept = self._loop(apart, scores)
        best, places = torch.where(kept, scores, NONE).topk(self.count)
        there = best > NONE / 2
        boxes = boxes.gather(1, places[..., None].expand(-1, -1, 4))
        return dict(
            boxes=boxes * there[..., None].to(boxes),
            scores=best * there.to(best),
            labels=torch.where(there, labels.gather(1, places), -1),
        )

    def _loop(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """Keep the best remaining box and drop what overlaps with it, at most K times."""
        threshold, count = self.iou_threshold, self.count
        areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)

        def goes_on(turn: Tensor, left: Tensor, kept: Tensor, boxes: Tensor, areas: Tensor):
            return (turn < count) & (left > NONE / 2).any()

        def keep_best(turn: Tensor, left: Tensor, kept: Tensor, boxes: Tensor, areas: Tensor):
            best = left.argmax(1, keepdim=True)
            is_box = left.gather(1, best) > NONE / 2
            chosen = torch.arange(left.shape[1], device=left.device)[None] == best
            box = boxes.gather(1, best[..., None].expand(-1, -1, 4))
            inner = torch.minimum(boxes[..., 2:], box[..., 2:]) - torch.maximum(
                boxes[..., :2], box[..., :2]
            )
            common = inner.clamp(min=0).prod(-1)
            overlap = common / (areas + areas.gather(1, best) - common)
            # Of an empty box the overlap is 0 / 0, which is above nothing.
            dropped = is_box & ((overlap > threshold) | chosen)
            left = torch.where(dropped, NONE, left)
            return turn + 1, left, kept | (is_box & chosen), boxes.clone(), areas.clone()

        turn = torch.zeros((), dtype=torch.int64, device=scores.device)
        state = (turn, scores.clone(), torch.zeros_like(scores, dtype=torch.bool), boxes, areas)
        return while_loop(goes_on, keep_best, state)[2]


@torch.library.custom_op(OPERATOR, mutates_args=())
def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, count: int) -> Tensor:
    """Which of the boxes ``(N, M, 4)`` with scores ``(N, M)`` are kept: ``(N, M)``, bool."""
    import torchvision  # noqa: F401, PLC0415  # registers `torch.ops.torchvision`

    kept = torch.zeros_like(scores, dtype=torch.bool)
    for image, (own, score) in enumerate(zip(boxes, scores)):
        (there,) = torch.where(score > NONE / 2)
        found = torch.ops.torchvision.nms(own[there], score[there], iou_threshold)
        kept[image, there[found[:count]]] = True
    return kept


@suppress.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, count: int) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)
