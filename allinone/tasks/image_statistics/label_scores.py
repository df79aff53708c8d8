"""Mean average precision of images with any number of labels."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from allinone.registry.kinds import derives

from .base import ImageStatistics, classes_of

AVERAGE_PRECISION = 'mmpretrain.evaluation.metrics.multi_label.AveragePrecision'
SMALLEST = float(np.finfo(np.float32).eps)
AT_ONCE = 1 << 22


class LabelScores(ImageStatistics):
    """``scores`` (N, C) and ``labels`` (N, C): 1, 0, or -1 for an image that a class leaves out.

    The metric is mmpretrain's ``AveragePrecision``: the mean precision at the positive images of a
    class, 0 for a class without any, and the mean of it over the classes.
    """

    form = 'label_scores'
    tolerance = 1e-2  # The metric sorts equal scores in no certain order, and sums in float32.

    @classmethod
    def of_metric(
        cls, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> list[ImageStatistics]:
        if (
            not derives(type(metric), (AVERAGE_PRECISION,))
            or metric.average is None
            or len(results) != len(images)
            or not images
        ):
            return []
        arrays = dict(
            scores=np.stack([np.asarray(result['pred_score'], float) for result in results]),
            labels=np.stack([np.asarray(result['gt_score']) for result in results]),
        )
        return [cls(np.array(images), arrays, dict(classes=classes_of(metric)))]

    def metrics(self, weights: NDArray) -> dict[str, NDArray]:
        size = max(1, AT_ONCE // len(weights))
        blocks = [weights[:, at : at + size] for at in range(0, weights.shape[1], size)]
        return dict(mAP=np.concatenate([self._mean_precision(block) for block in blocks]))

    def _mean_precision(self, weights: NDArray) -> NDArray:
        scores, labels = self.arrays['scores'], self.arrays['labels']
        total = np.zeros(weights.shape[1])
        for column in range(scores.shape[1]):
            rows = np.flatnonzero(labels[:, column] > -1)
            rows = rows[np.argsort(-scores[rows, column], kind='stable')]
            total += _average_precision(labels[rows, column] == 1, weights[rows])
        return 100 * total / scores.shape[1]

    def labels(self) -> NDArray:
        return self.arrays['labels']


def _average_precision(positive: NDArray, weights: NDArray) -> NDArray:
    """``(B,)`` of images in the order of their scores; copies of an image follow each other."""
    before = (np.cumsum(weights, 0) - weights)[positive]
    own = weights[positive]
    hits = np.cumsum(own, 0) - own
    total = np.zeros(weights.shape[1])
    for copy in range(1, int(own.max(initial=0)) + 1):
        total += np.where(own >= copy, (hits + copy) / (before + copy), 0).sum(0)
    return total / np.maximum(own.sum(0), SMALLEST)
