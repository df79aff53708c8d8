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

    Of accuracy a value is 100 for a hit and 0 for a miss. Metrics that keep ``image_values``, as
    those of retrieval, have those, and NaN where an image has no value; their gallery is the same
    in all samples.
    """

    form = 'image_means'

    @classmethod
    def of_metric(
        cls, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> list[ImageStatistics]:
        if len(results) != len(images) or not images:
            return []
        kept = getattr(metric, 'image_values', None)
        if kept:
            arrays = dict(
                values=np.stack(list(kept.values()), axis=1),
                labels=np.array([result['identity'] for result in results]),
            )
            return [cls(np.array(images), arrays, dict(names=list(kept), classes=[]))]
        if not derives(type(metric), (ACCURACY,)):
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
        values = self.arrays['values']
        defined = ~np.isnan(values)
        means = ratio(np.where(defined, values, 0).T @ weights, defined.T.astype(int) @ weights)
        return dict(zip(self.options['names'], means, strict=True))

    def labels(self) -> NDArray:
        return self.arrays['labels']
