"""What all per-image statistics have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray]


@dataclass(frozen=True)
class ImageStatistics(ABC):
    """Numbers of each image, of which a metric of any multiset of the images is computed.

    A data set in which image ``i`` comes ``w_i`` times has the metric that ``metrics(w)`` gives,
    without a second evaluation. A kind of task lists the forms that its metrics have in
    ``TaskKind.image_statistics``.

    Attributes:
        form: Name of the form, by which a file of statistics says how to read it.
        tolerance: Largest difference to the metric that comes of its rounding.
        images: ``(N,)``, the name of the image of each row; rows of one name are one image.
        arrays: Those of the form.
        options: Options of the metric, and ``classes``.
    """

    form: ClassVar[str]
    tolerance: ClassVar[float] = 1e-4

    images: NDArray
    arrays: Arrays
    options: Mapping[str, Any]

    @classmethod
    @abstractmethod
    def of_metric(
        cls, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> 'Sequence[ImageStatistics]':
        """The statistics of a metric; none if it is not of this form.

        Args:
            metric: After its evaluation.
            results: What it was computed from, one for each image.
            images: Names of the images, in the order of the results.
        """

    @abstractmethod
    def metrics(self, weights: NDArray) -> dict[str, NDArray]:
        """``{name: (B,)}``, with the names and in the units of the metric; NaN where undefined.

        Args:
            weights: ``(N, B)`` whole numbers, how often each row comes in each of B data sets.
        """

    @abstractmethod
    def labels(self) -> NDArray:
        """``(N, ...)`` annotations of each row, as far as the metric depends on them."""

    def select(self, rows: NDArray) -> 'ImageStatistics':
        """The statistics of some rows, in this order."""
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        return replace(self, images=self.images[rows], arrays=arrays)


def classes_of(metric: BaseMetric) -> list[str]:
    """Names of the classes that a metric is of."""
    return list(map(str, (getattr(metric, 'dataset_meta', None) or {}).get('classes') or ()))


def ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """The quotient; NaN, without a warning, where it is 0 / 0."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(numerator, float) / denominator


def mean_of_defined(values: NDArray, axis: int = 0) -> NDArray:
    """The mean of what is not NaN; NaN, without a warning, where nothing is."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis), defined.sum(axis))
