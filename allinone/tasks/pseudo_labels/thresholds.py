"""The lowest score from which on held-out predictions have a precision."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class HeldOutScores:
    """Held-out predictions of one class, by their scores.

    Attributes:
        scores: ``(N,)`` different scores, descending.
        right: ``(N,)`` number of right predictions with each score.
        counted: ``(N,)`` number of predictions with each score that are right or wrong.
        support: ``(N,)`` what the minimum counts: the predictions, or for pixels the images.
    """

    scores: NDArray
    right: NDArray
    counted: NDArray
    support: NDArray

    @classmethod
    def of_predictions(cls, scores: NDArray, right: NDArray) -> 'HeldOutScores':
        """Scores of predictions of which each one is right or wrong.

        Args:
            scores: ``(P,)``.
            right: ``(P,)``, whether each one is right.
        """
        different, places = np.unique(-np.asarray(scores, float), return_inverse=True)
        counted = np.bincount(places, minlength=len(different))
        hits = np.bincount(places[np.asarray(right, bool)], minlength=len(different))
        return cls(-different, hits, counted, counted)

    def total(self) -> int:
        """Number of predictions."""
        return int(self.counted.sum())


@dataclass(frozen=True)
class Threshold:
    """A score, and what the held-out predictions with this score or a higher one are.

    Attributes:
        score: The threshold.
        precision: Share of the right ones.
        right: Their number.
        predictions: Number of all of them.
    """

    score: float
    precision: float
    right: int
    predictions: int


def lowest_threshold(found: HeldOutScores, precision: float, minimum: int = 1) -> Threshold | None:
    """The lowest score whose predictions, with all of higher scores, have a precision.

    Predictions of one score are all above a threshold, or all below. A lower score may reach the
    precision again after one that does not: the last one counts, because all that lies above it is
    taken together.

    Args:
        found: Of a class.
        precision: The lowest share of right predictions.
        minimum: The least support behind a threshold, so that one lucky prediction decides nothing.

    Returns:
        The threshold; None if no score reaches the precision with this support.
    """
    right, counted, enough = _cumulated(found, minimum)
    # Whole numbers are compared, for 7 / 10 may be below .7 as a float.
    reached = np.flatnonzero(enough & (right >= np.round(precision * counted, 9)))
    if not len(reached):
        return None
    last = reached[-1]
    return Threshold(
        float(found.scores[last]),
        float(right[last] / counted[last]),
        int(right[last]),
        int(counted[last]),
    )


def best_precision(found: HeldOutScores, minimum: int = 1) -> float | None:
    """The highest precision that a threshold with enough support reaches; None without any."""
    right, counted, enough = _cumulated(found, minimum)
    return float((right[enough] / counted[enough]).max()) if enough.any() else None


def _cumulated(found: HeldOutScores, minimum: int) -> tuple[NDArray, NDArray, NDArray]:
    counted = np.cumsum(found.counted)
    enough = (np.cumsum(found.support) >= minimum) & (counted > 0)
    # At a score without a prediction the threshold would lie lower than what stands behind it.
    return np.cumsum(found.right), counted, enough & (found.counted > 0)
