"""The libraries' metrics, with an answer also where they have none."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from faster_coco_eval import COCOeval_faster
from mmdet.datasets.api_wrappers import COCOeval
from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics import coco_metric
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric

from allinone.registry import METRICS
from allinone.registry.options import check_choice
from allinone.tasks.coco import BOX_METRICS, complete_annotations

BACKENDS = dict(faster_coco_eval=COCOeval_faster, pycocotools=COCOeval)


@METRICS.register_module()
class DetectionMetric(CocoMetric):
    """COCO metrics that are 0, not absent, when nothing at all was detected.

    The upstream metric then returns nothing, and ``save_best`` passes the epoch over. Classes
    without any box in the annotations take no part in the mean, and are named in the log;
    of annotations without any box all values are 0, not COCO's -1.

    Args:
        backend: ``'faster_coco_eval'``, the same metrics in less time, or ``'pycocotools'``.
        **kwargs: As for ``mmdet.CocoMetric``.

    Raises:
        ConfigError: If the backend is not one of these.
    """

    def __init__(self, *args, backend: str = 'faster_coco_eval', **kwargs):
        self.backend = check_choice('backend', backend, list(BACKENDS))
        super().__init__(*args, **kwargs)
        complete_annotations(self)

    def compute_metrics(self, results: list) -> dict[str, float]:
        coco, backend = self._coco_api, self.backend
        if coco is not None and not all(isinstance(i, int) for i in (*coco.imgs, *coco.cats)):
            backend = 'pycocotools'  # The other one takes no ids but whole numbers.
        with _evaluating_by(BACKENDS[backend]):
            metrics = super().compute_metrics(results)
        if not metrics and not self.format_only:
            metrics = {
                f'{kind}_{name}': 0.0
                for kind in self.metrics
                for name in self.metric_items or BOX_METRICS
            }
        annotated = {ann['category_id'] for ann in self._coco_api.dataset['annotations']}
        absent = [self._coco_api.cats[i]['name'] for i in self.cat_ids if i not in annotated]
        if len(absent) == len(self.cat_ids):
            # -1 in COCO's convention, which a combined score would take for a bad result.
            metrics = {name: max(value, 0.0) for name, value in metrics.items()}
        _say_absent(
            absent,
            'box',
            'the means are over the other classes'
            if len(absent) < len(self.cat_ids)
            else 'all values are 0',
        )
        return metrics


@contextmanager
def _evaluating_by(evaluation: type) -> Iterator[None]:
    """Let mmdet's metric evaluate by a class of the interface of pycocotools."""
    before = coco_metric.COCOeval
    coco_metric.COCOeval = evaluation
    try:
        yield
    finally:
        coco_metric.COCOeval = before


@METRICS.register_module()
class SegmentationMetric(IoUMetric):
    """IoU metrics in percent, also of each class: ``IoU.road`` beside ``mIoU``, ``aAcc``, ``mAcc``.

    A class with no pixel in the annotations is named in the log. Its IoU is 0 if it is predicted
    anywhere, as in the upstream metric; if not, it is NaN and left out of the mean.

    Args:
        **kwargs: As for ``mmseg.IoUMetric``.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        metrics = super().compute_metrics(results)
        if self.format_only:
            return metrics
        areas = [sum(column) for column in zip(*results)]
        per_class = self.total_area_to_metrics(*areas, ['mIoU'], self.nan_to_num, self.beta)
        classes = self.dataset_meta['classes']
        metrics |= {
            f'IoU.{name}': float(np.round(value * 100, 2))
            for name, value in zip(classes, per_class['IoU'])
        }
        _say_absent(
            [name for name, pixels in zip(classes, areas[3]) if pixels == 0],
            'pixel',
            'its IoU is 0 where it is predicted all the same, and left out otherwise',
        )
        return {name: float(value) for name, value in metrics.items()}


def _say_absent(classes: list[str], what: str, so: str) -> None:
    if classes:
        print_log(
            f'No {what} of class {", ".join(classes)} in the annotations evaluated: {so}', 'current'
        )
