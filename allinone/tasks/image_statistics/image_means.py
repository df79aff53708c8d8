"""Metrics that are the mean of a value of each image, such as accuracy."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from allinone.registry.kinds import derives

from .base import ImageStatistics, classes_of, ratio

ACCURACY = 'mmpretrain.evaluation.metrics.single_label.Accuracy'


class ImageMeans(ImageStatistics):
    """``values`` (N, M) of each image, and ``labels`` (N,); the metrics are means of the columns.

    Of accuracy a value is 100 for a hit and 0 for a miss.
    """

    form = 'image_means'

    @classmethod
    def of_metric(
        cls, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> list[ImageStatistics]:
        if not derives(type(metric), (ACCURACY,)) or len(results) != len(images) or not images:
            return []
        found = [type(metric).compute_metrics(metric, [result]) for result in results]
        names = list(found[0])
        arrays = dict(
            values=np.array([[one[name] for name in names] for one in found]),
            labels=np.array([int(result['gt_label'].reshape(-1)[0]) for result in results]),
        )
        options = dict(names=names, classes=classes_of(metric))
        return [cls(np.array(images), arrays, options)]

    def metrics(self, weights: NDArray) -> dict[str, NDArray]:
        means = ratio(self.arrays['values'].T @ weights, weights.sum(0))
        return dict(zip(self.options['names'], means, strict=True))

    def labels(self) -> NDArray:
        return self.arrays['labels']
