"""Verification of pairs: accuracy by folds, and true accepts at a rate of false ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allinone.errors import DataError
from allinone.registry.options import check_number

from .ranking import as_array


def tar_at_far(scores: ArrayLike, same: ArrayLike, fars: Sequence[float]) -> list[float]:
    """True accept rates at false accept rates.

    Args:
        scores: Similarity of each pair ``(N,)``.
        same: Whether both images show one identity, bool ``(N,)``.
        fars: Rates from 0 to 1.

    Returns:
        For each rate the share of same pairs above the lowest threshold that lets at most that
        share of the others pass.

    Raises:
        ConfigError: If a rate is not from 0 to 1.
        DataError: If a score is not finite, or there are no pairs of either sort.
    """
    rates = [check_number(f'fars[{index}]', far, 0, 1) for index, far in enumerate(fars)]
    values, alike = _checked(scores, same)
    others = np.sort(values[~alike])[::-1]
    found = []
    for far in rates:
        # For 0.29 x 100, which is just below 29
        allowed = int(far * len(others) * (1 + 1e-12))
        threshold = others[allowed] if allowed < len(others) else -np.inf
        found.append(float((values[alike] > threshold).mean()))
    return found


def verification_accuracy(
    scores: ArrayLike, same: ArrayLike, folds: ArrayLike
) -> tuple[float, float]:
    """Mean and standard deviation over folds of the accuracy at a threshold of the other folds.

    The protocol of LFW: in each fold the threshold is the one with the highest accuracy on all
    others; of several such ones the lowest.

    Args:
        scores: Similarity of each pair ``(N,)``.
        same: Whether both images show one identity, bool ``(N,)``.
        folds: The fold of each pair ``(N,)``.

    Raises:
        DataError: If a score is not finite, there are no pairs of either sort, or one fold alone.
    """
    values, alike = _checked(scores, same)
    parts = np.asarray(folds)
    names = np.unique(parts)
    if len(names) < 2:
        raise DataError(
            f'all {len(parts)} pairs are of one fold, but the threshold of a fold is chosen on the '
            'others; give two folds or more'
        )
    found = []
    for name in names:
        tested = parts == name
        threshold = _best_threshold(values[~tested], alike[~tested])
        found.append(((values[tested] >= threshold) == alike[tested]).mean())
    return float(np.mean(found)), float(np.std(found))


def _best_threshold(scores: NDArray, same: NDArray) -> float:
    """The lowest of the thresholds with the highest accuracy, each a score or above all."""
    order = np.argsort(scores, kind='stable')
    ordered, alike = scores[order], same[order]
    # Right at threshold ``ordered[i]``: others before i, same pairs from i on
    right = np.concatenate([[0], np.cumsum(~alike)]) + np.concatenate(
        [np.cumsum(alike[::-1])[::-1], [0]]
    )
    first = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])  # of equal scores
    best = int(np.argmax(np.where(first, right, -1)))
    return float(ordered[best]) if best < len(ordered) else float('inf')


def _checked(scores: ArrayLike, same: ArrayLike) -> tuple[NDArray, NDArray]:
    values = as_array(scores).astype(float).reshape(-1)
    alike = as_array(same).astype(bool).reshape(-1)
    if len(values) != len(alike):
        raise DataError(f'there are {len(values)} scores of {len(alike)} pairs; give one a pair')
    if not np.isfinite(values).all():
        raise DataError(
            'a score is NaN or infinite; the model has diverged, or its weights are wrong'
        )
    if alike.all() or not alike.any():
        lacking = 'different identities' if alike.all() else 'one identity'
        raise DataError(f'no pair is of {lacking}; give pairs of both sorts')
    return values, alike
