"""One-stage detection heads of mmdet as functions of feature maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from allinone.errors import ConfigError

from .suppression import NONE, Suppression

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
        if (
            batch != BATCH
            or decoding not in (PLAIN, INTEGRAL)
            or getattr(model, 'mask_head', None) is not None
            or getattr(getattr(head, 'loss_cls', None), 'custom_cls_channels', False)
        ):
            raise ConfigError(
                f'{type(model).__name__} cannot be exported: only heads that decode as those of '
                'RetinaNet, FCOS, ATSS, GFL and RTMDet are, and this one is '
                f'{type(head or getattr(model, "roi_head", None)).__name__}'
            )
        self.neck = model.neck if model.with_neck else None
        self.head = head
        self.integral = decoding == INTEGRAL

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int] | None = None) -> dict:
        levels, boxes = self.decode(maps, size)
        scores = [score if factor is None else score * factor for score, factor in levels]
        return dict(boxes=boxes, scores=torch.cat(scores, 1))

    def decode(
        self, maps: Sequence[Tensor], size: tuple[int, int] | None
    ) -> tuple[list[tuple[Tensor, Tensor | None]], Tensor]:
        """Class scores ``(N, P_i, C)`` of each level and their factors ``(N, P_i, 1)``, and boxes.

        The boxes ``(N, P, 4)`` are of the priors of all levels.
        """
        maps = tuple(maps) if self.neck is None else self.neck(tuple(maps))
        head = self.head
        scores, boxes, *factors = ([level.float() for level in part] for part in head(maps))
        sizes = [level.shape[-2:] for level in scores]
        priors = head.prior_generator.grid_priors(
            sizes, dtype=scores[0].dtype, device=scores[0].device
        )
        found = [self._level(*level) for level in zip(scores, boxes, *factors)]
        deltas = torch.cat(
            [
                box * stride[0] if self.integral else box
                for (_, _, box), stride in zip(found, head.prior_generator.strides)
            ],
            1,
        )
        priors = torch.cat(priors)
        if self.integral:
            priors = head.anchor_center(priors)
        # Coders take one image; what they compute is independent of the order of priors.
        count, number = deltas.shape[:2]
        boxes = head.bbox_coder.decode(
            priors.repeat(count, 1), deltas.flatten(0, 1), max_shape=size
        )
        return [level[:2] for level in found], boxes.reshape(count, number, 4)

    def _level(self, score: Tensor, box: Tensor, factor: Tensor | None = None):
        """Scores ``(N, P, C)``, their factor and box codes of a level's ``(N, A * C, H, W)``."""
        head, count = self.head, score.shape[0]  # len() would fix the size of batches
        score = score.permute(0, 2, 3, 1).reshape(count, -1, head.cls_out_channels)
        score = score.sigmoid() if head.use_sigmoid_cls else score.softmax(-1)[..., :-1]
        if factor is not None:
            factor = factor.permute(0, 2, 3, 1).reshape(count, -1, 1).sigmoid()
        box = box.permute(0, 2, 3, 1)
        if self.integral:
            # As head.integral(), whose type_as() the exporter of ONNX does not take
            steps = head.integral.project
            steps = steps if steps.dtype == box.dtype else steps.to(box.dtype)
            box = F.linear(box.reshape(-1, head.reg_max + 1).softmax(1), steps)
        return score, factor, box.reshape(count, -1, 4)


class DenseDetections(DenseHead):
    """As :class:`DenseHead`, to the boxes that the detector predicts.

    Of each level the ``nms_pre`` best scores above ``score_thr`` are candidates, as in mmdet's
    ``BaseDenseHead.predict_by_feat``. Outputs are ``boxes`` ``(N, K, 4)`` in pixels of the input
    image, ``scores`` ``(N, K)`` and ``labels`` ``(N, K)`` of ``max_per_img`` K boxes, best first;
    rows without a box have score 0 and label -1.

    Raises:
        ConfigError: As :class:`DenseHead`, or if ``test_cfg`` sets another suppression than
            ``type='nms'``.
    """

    def __init__(self, model: 'BaseModel'):
        super().__init__(model)
        cfg = dict(self.head.test_cfg or {})
        nms = dict(cfg.get('nms') or {})
        options = {key: nms.pop(key, None) for key in ('type', 'split_thr', 'class_agnostic')}
        threshold = nms.pop('iou_threshold', None)
        more = {key: value for key, value in nms.items() if value not in (0, -1)}
        if threshold is None or options['type'] not in (None, 'nms') or more:
            raise ConfigError(
                f'{type(model).__name__} cannot be exported with test_cfg.nms='
                f"{dict(cfg.get('nms') or {})}: only type='nms' with iou_threshold is; change it, "
                'or export before suppression with --raw'
            )
        self.score_thr, self.nms_pre = float(cfg.get('score_thr', 0)), int(cfg.get('nms_pre', -1))
        self.min_size = float(cfg.get('min_bbox_size', -1))
        self.suppression = Suppression(
            float(threshold), int(cfg.get('max_per_img', 100)), bool(options['class_agnostic'])
        )

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int] | None = None) -> dict:
        levels, boxes = self.decode(maps, size)
        scores, priors, labels, first = [], [], [], 0
        for score, factor in levels:
            number, classes = score.shape[1:]
            flat = score.flatten(1)
            best, places = self._candidates(torch.where(flat > self.score_thr, flat, NONE))
            prior = torch.div(places, classes, rounding_mode='floor').clamp(max=number - 1)
            if factor is not None:
                best = torch.where(best > NONE / 2, best * factor[..., 0].gather(1, prior), NONE)
            scores.append(best)
            priors.append(prior + first)
            labels.append(places % classes)
            first = first + number
        score, prior, label = (torch.cat(part, 1) for part in (scores, priors, labels))
        missing = self.suppression.count - score.shape[1]
        if isinstance(missing, int) and missing > 0:
            score = F.pad(score, (0, missing), value=NONE)
            prior, label = (F.pad(part, (0, missing)) for part in (prior, label))
        box = boxes.gather(1, prior[..., None].expand(-1, -1, 4))
        if self.min_size >= 0:
            fits = ((box[..., 2:] - box[..., :2]) > self.min_size).all(-1)
            score = torch.where(fits, score, NONE)
        return self.suppression(box, score, label)

    def _candidates(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The ``nms_pre`` best scores of ``(N, P * C)`` and their places, all if it is not set."""
        wanted, given = self.nms_pre, scores.shape[1]
        if isinstance(given, int):
            return scores.topk(min(wanted, given) if wanted > 0 else given)
        # Images of any size have enough together with rows that are no boxes.
        more = wanted if wanted > 0 else self.suppression.count
        scores = F.pad(scores, (0, more), value=NONE)
        return scores.topk(more if wanted > 0 else given + more)


def _home(method) -> str:
    """The dotted name of a method where it is defined."""
    return f'{getattr(method, "__module__", "")}.{getattr(method, "__qualname__", "")}'
