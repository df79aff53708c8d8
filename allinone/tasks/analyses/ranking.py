"""Precision, recall and F1 of scored predictions, a class at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .parts import Curves, Number

RECALLS = np.linspace(0, 1, 101)  # As COCO's ``recThrs``, digit by digit
THRESHOLDS = np.linspace(0, 1, 101)
EPSILON = np.spacing(1)


def precision_at_recalls(scores: NDArray, right: NDArray, positives: int) -> NDArray:
    """``(101,)``: the highest precision at each of COCO's recalls or above; 0 where none is.

    Their mean is COCO's average precision. Equal scores count in their order.

    Args:
        scores: ``(n,)``.
        right: ``(n,)`` boolean.
        positives: What there is to find; 0: the values are NaN.
    """
    if not positives:
        return np.full(len(RECALLS), np.nan)
    right = right[np.argsort(-scores, kind='stable')]
    hits, wrong = np.cumsum(right, dtype=float), np.cumsum(~right, dtype=float)
    precision = hits / (hits + wrong + EPSILON)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / positives, RECALLS, side='left')
    return np.append(precision, 0)[at]


class Counts(NamedTuple):
    """Of one class at each of :data:`THRESHOLDS`: predictions, right ones, and all positives."""

    predicted: NDArray
    right: NDArray
    positives: int

    @classmethod
    def of(
        cls,
        scores: NDArray,
        right: NDArray,
        positives: int,
        thresholds: Sequence[float] | NDArray = THRESHOLDS,
    ) -> 'Counts':
        """Count the predictions with a score of each threshold or above."""
        # In the type of the scores, so that a score of 0.3 reaches a threshold of 0.3
        at = np.asarray(thresholds, np.asarray(scores).dtype)
        every, hits = np.sort(scores), np.sort(scores[right])
        return cls(
            len(every) - np.searchsorted(every, at, side='left'),
            len(hits) - np.searchsorted(hits, at, side='left'),
            int(positives),
        )

    @property
    def precision(self) -> NDArray:
        """NaN where nothing is predicted."""
        return _ratio(self.right, self.predicted)

    @property
    def recall(self) -> NDArray:
        """NaN of a class without positives."""
        return _ratio(self.right, np.full(len(self.right), self.positives))

    @property
    def f1(self) -> NDArray:
        """NaN of a class without positives."""
        if not self.positives:
            return np.full(len(self.right), np.nan)
        return 2 * self.right / (self.predicted + self.positives)


def precision_curves(classes: Sequence[str], precisions: NDArray, what: str) -> Curves:
    """Precision over recall ``(C, 101)`` of each class, and the mean of those with positives."""
    return Curves(
        'Precision and recall',
        'recall',
        'precision',
        RECALLS.tolist(),
        _lines(classes, precisions),
        listed(mean_of_defined(precisions)),
        f'{what} Precision is the highest one at this recall or above, as in COCO.',
    )


def f1_curves(classes: Sequence[str], f1: NDArray, what: str) -> Curves:
    """F1 over the score threshold ``(C, 101)`` of each class, and its mean."""
    mean = mean_of_defined(f1)
    best = ''
    if np.isfinite(mean).any():
        at = int(np.nanargmax(mean))
        best = f' The mean F1 is highest, {100 * mean[at]:.1f} %, at {THRESHOLDS[at]:.2f}.'
    return Curves(
        'F1 over the score threshold',
        'score threshold',
        'F1',
        THRESHOLDS.tolist(),
        _lines(classes, f1),
        listed(mean),
        what + best,
    )


def best_threshold(f1: NDArray) -> tuple[float | None, float | None]:
    """The highest F1 in percent and the lowest threshold that has it; None without positives."""
    if np.isnan(f1).all():
        return None, None
    at = int(np.nanargmax(f1))
    return 100 * float(f1[at]), float(THRESHOLDS[at])


def mean_of_defined(values: NDArray) -> NDArray:
    """The mean over the first axis of what is not NaN; NaN, without a warning, where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(0), defined.sum(0))


def listed(values: NDArray) -> list[Number]:
    """Values for JSON, with 4 digits and None for NaN."""
    return [None if value != value else round(float(value), 4) for value in values]


def _lines(classes: Sequence[str], values: NDArray) -> dict[str, list[Number]]:
    return {name: listed(line) for name, line in zip(classes, values) if not np.isnan(line).all()}


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(numerator, float) / denominator
