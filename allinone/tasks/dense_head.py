"""One-stage detection heads of mmdet as functions of feature maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from allinone.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.model import BaseModel, BaseModule

DENSE = 'mmdet.models.dense_heads'
# Whose methods a head may have; these two are where mmdet's heads differ.
BATCH = f'{DENSE}.base_dense_head.BaseDenseHead.predict_by_feat'
PLAIN = f'{DENSE}.base_dense_head.BaseDenseHead._predict_by_feat_single'
INTEGRAL = f'{DENSE}.gfl_head.GFLHead._predict_by_feat_single'


class DenseHead(nn.Module):
    """Neck and one-stage head of a detector, for export, decoded and without NMS.

    Outputs are ``boxes`` ``(N, P, 4)``, ``x1 y1 x2 y2`` in pixels of the input image, and
    ``scores`` ``(N, P, C)``, of all P priors of all levels.

    Args:
        model: A one-stage detector in evaluation mode.

    Raises:
        ConfigError: If its head decodes in another way than RetinaNet, FCOS, ATSS, RTMDet (mmdet's
            ``BaseDenseHead``) or GFL.
    """

    head: 'BaseModule'

    def __init__(self, model: 'BaseModel'):
        super().__init__()
        head = getattr(model, 'bbox_head', None)
        batch, decoding = (
            _home(getattr(type(head), name, None))
            for name in ('predict_by_feat', '_predict_by_feat_single')
        )
        if batch != BATCH or decoding not in (PLAIN, INTEGRAL):
            raise ConfigError(
                f'{type(model).__name__} cannot be exported: only heads that decode as those of '
                'RetinaNet, FCOS, ATSS, GFL and RTMDet are, and this one is '
                f'{type(head or getattr(model, "roi_head", None)).__name__}'
            )
        self.neck = model.neck if model.with_neck else None
        self.head = head
        self.integral = decoding == INTEGRAL

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int] | None = None) -> dict:
        maps = tuple(maps) if self.neck is None else self.neck(tuple(maps))
        head = self.head
        scores, boxes, *factors = head(maps)
        sizes = [level.shape[-2:] for level in scores]
        priors = head.prior_generator.grid_priors(
            sizes, dtype=scores[0].dtype, device=scores[0].device
        )
        found = [self._level(*level) for level in zip(scores, boxes, *factors)]
        found = [
            (score, box * stride[0] if self.integral else box)
            for (score, box), stride in zip(found, head.prior_generator.strides)
        ]
        scores = torch.cat([score for score, _ in found], 1)
        deltas = torch.cat([box for _, box in found], 1)
        priors = torch.cat(priors)
        if self.integral:
            priors = head.anchor_center(priors)
        # Coders take one image; what they compute is independent of the order of priors.
        count, number = deltas.shape[:2]
        boxes = head.bbox_coder.decode(
            priors.repeat(count, 1), deltas.flatten(0, 1), max_shape=size
        )
        return dict(boxes=boxes.reshape(count, number, 4), scores=scores)

    def _level(self, score: Tensor, box: Tensor, factor: Tensor | None = None):
        """Scores ``(N, P, C)`` and box codes ``(N, P, 4)`` of a level's ``(N, A * C, H, W)``."""
        head, count = self.head, len(score)
        score = score.permute(0, 2, 3, 1).reshape(count, -1, head.cls_out_channels)
        score = score.sigmoid() if head.use_sigmoid_cls else score.softmax(-1)[..., :-1]
        if factor is not None:
            score = score * factor.permute(0, 2, 3, 1).reshape(count, -1, 1).sigmoid()
        box = box.permute(0, 2, 3, 1)
        if self.integral:
            box = head.integral(box.reshape(-1, box.shape[-1]))
        return score, box.reshape(count, -1, 4)


def _home(method) -> str:
    """The dotted name of a method where it is defined."""
    return f'{getattr(method, "__module__", "")}.{getattr(method, "__qualname__", "")}'
