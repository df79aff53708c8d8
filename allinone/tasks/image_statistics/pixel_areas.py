"""Metrics of the areas of classes in label maps, such as mIoU."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from allinone.registry.kinds import derives

from .base import ImageStatistics, classes_of, mean_of_defined, ratio

IOU_METRIC = 'mmseg.evaluation.metrics.iou_metric.IoUMetric'


class PixelAreas(ImageStatistics):
    """``intersection``, ``predicted`` and ``labelled`` (N, C): pixels of each class in each image.

    The metrics are those of mmseg's ``IoUMetric``, before it rounds them to two digits: areas are
    summed over the images, and a class that is in no label and no prediction is left out of a mean.
    """

    form = 'pixel_areas'
    tolerance = 6e-3

    @classmethod
    def of_metric(
        cls, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> list[ImageStatistics]:
        if not derives(type(metric), (IOU_METRIC,)) or len(results) != len(images) or not images:
            return []
        areas = [np.stack([np.asarray(area) for area in column]) for column in zip(*results)]
        intersection, _, predicted, labelled = (area.astype(np.int64) for area in areas)
        chosen = [metric.metrics] if isinstance(metric.metrics, str) else list(metric.metrics)
        options = dict(
            chosen=chosen,
            nan_to_num=metric.nan_to_num,
            beta=metric.beta,
            classes=classes_of(metric),
        )
        arrays = dict(intersection=intersection, predicted=predicted, labelled=labelled)
        return [cls(np.array(images), arrays, options)]

    def metrics(self, weights: NDArray) -> dict[str, NDArray]:
        sums = [
            # Whole numbers below 2 ** 53 are exact in a product of doubles, which is the fast one.
            self.arrays[name].T.astype(float) @ weights.astype(float)
            for name in ('intersection', 'predicted', 'labelled')
        ]
        per_class = self._per_class(*sums)
        found = {
            'aAcc': 100 * self._filled(ratio(sums[0].sum(0), sums[2].sum(0))),
            **{f'm{name}': 100 * mean_of_defined(values) for name, values in per_class.items()},
        }
        for name, values in zip(self.options['classes'], per_class.get('IoU', ())):
            found[f'IoU.{name}'] = 100 * values
        return found

    def _per_class(
        self, intersection: NDArray, predicted: NDArray, labelled: NDArray
    ) -> dict[str, NDArray]:
        """``{metric: (C, B)}`` as fractions, in the order in which mmseg computes them."""
        found = {}
        recall = ratio(intersection, labelled)
        for chosen in self.options['chosen']:
            if chosen == 'mIoU':
                found['IoU'] = ratio(intersection, predicted + labelled - intersection)
                found['Acc'] = recall
            elif chosen == 'mDice':
                found['Dice'] = ratio(2 * intersection, predicted + labelled)
                found['Acc'] = recall
            elif chosen == 'mFscore':
                precision, square = ratio(intersection, predicted), self.options['beta'] ** 2
                found['Fscore'] = ratio(
                    (1 + square) * precision * recall, square * precision + recall
                )
                found['Precision'], found['Recall'] = precision, recall
        return {name: self._filled(values) for name, values in found.items()}

    def _filled(self, values: NDArray) -> NDArray:
        number = self.options['nan_to_num']
        return values if number is None else np.nan_to_num(values, nan=number)

    def labels(self) -> NDArray:
        return self.arrays['labelled']
