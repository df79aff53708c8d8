"""Precision, recall and F1 of the classes that images are given."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from allinone.registry.kinds import derives

from .base import ImageStatistics, classes_of

SINGLE_LABEL = 'mmpretrain.evaluation.metrics.single_label.SingleLabelMetric'
SMALLEST = float(np.finfo(np.float32).eps)  # What mmpretrain divides by at least


class LabelCounts(ImageStatistics):
    """``predicted`` (N,), -1 for none, and ``labels`` (N,) of each image.

    The metrics are those of mmpretrain's ``SingleLabelMetric`` with one threshold and the averages
    ``'macro'`` and ``'micro'``.
    """

    form = 'label_counts'

    @classmethod
    def of_metric(
        cls, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> list[ImageStatistics]:
        if (
            not derives(type(metric), (SINGLE_LABEL,))
            or metric.average is None
            or len(metric.thrs) != 1
            or len(results) != len(images)
            or not images
            or 'pred_score' not in results[0]
        ):
            return []
        scores = np.stack([np.asarray(result['pred_score'], float) for result in results])
        predicted = scores.argmax(1)
        if metric.thrs[0] is not None:
            predicted = np.where(scores.max(1) > metric.thrs[0], predicted, -1)
        labels = np.array([int(result['gt_label'].reshape(-1)[0]) for result in results])
        options = dict(
            items=list(metric.items),
            average=metric.average,
            count=scores.shape[1],
            classes=classes_of(metric),
        )
        return [cls(np.array(images), dict(predicted=predicted, labels=labels), options)]

    def metrics(self, weights: NDArray) -> dict[str, NDArray]:
        predicted, labels = self.arrays['predicted'], self.arrays['labels']
        right, found, there = (
            self._count(rows, classes, weights)
            for rows, classes in (
                (predicted == labels, labels),
                (predicted >= 0, predicted),
                (labels >= 0, labels),
            )
        )
        if self.options['average'] == 'micro':
            right, found, there = (counts.sum(0, keepdims=True) for counts in (right, found, there))
        precision = 100 * right / np.maximum(found, 1)
        recall = 100 * right / np.maximum(there, 1)
        f1 = 2 * precision * recall / np.maximum(precision + recall, SMALLEST)
        suffix = '_micro' if self.options['average'] == 'micro' else ''
        values = {
            'precision': precision.mean(0),
            'recall': recall.mean(0),
            'f1-score': f1.mean(0),
            'support': there.sum(0),
        }
        return {f'{item}{suffix}': values[item] for item in self.options['items']}

    def _count(self, rows: NDArray, classes: NDArray, weights: NDArray) -> NDArray:
        """``(C, B)``: images of each class among some rows."""
        chosen = np.flatnonzero(rows)
        places = np.zeros((self.options['count'], len(classes)))
        places[classes[chosen], chosen] = 1
        return places @ weights.astype(float)

    def labels(self) -> NDArray:
        return self.arrays['labels']
