"""The threshold of a score at which few pairs of different identities match."""

import math
from typing import TypedDict

import numpy as np

from allinone.errors import ConfigError, DataError


class Calibration(TypedDict):
    """A threshold, and what it rests on.

    Attributes:
        false_match_rate: The wanted rate.
        threshold: Pairs with at least this score match.
        different_pairs: Number of pairs of different identities.
        false_matches: Of these the number that match.
        same_pairs: Number of pairs of one identity.
        true_match_rate: The share of these that match; None without such pairs.
    """

    false_match_rate: float
    threshold: float
    different_pairs: int
    false_matches: int
    same_pairs: int
    true_match_rate: float | None


def calibrate(scores: np.ndarray, same: np.ndarray, rate: float) -> Calibration:
    """The lowest threshold at which at most ``rate`` of the pairs of different identities match.

    Args:
        scores: Of each pair, ``(N,)``.
        same: Whether a pair is of one identity, bool ``(N,)``.
        rate: Above 0 and below 1.

    Raises:
        ConfigError: If the rate is out of range.
        DataError: If there are too few pairs of different identities for it.
    """
    if not 0 < rate < 1:
        raise ConfigError(f'the false-match rate is {rate:g}; it must be above 0 and below 1')
    scores, same = np.asarray(scores, np.float32), np.asarray(same, bool)
    others = np.sort(scores[~same])[::-1]
    # For 0.001 x 3000, which is just below 3
    allowed = math.floor(rate * len(others) * (1 + 1e-12))
    if allowed < 1:
        raise DataError(
            f'{len(others):,} pairs of different identities cannot tell a false-match rate of '
            f'{rate:g}, which needs {math.ceil(1 / rate):,}; give more pairs, or a higher rate'
        )
    # Just above the first score that may match no more, and those equal to it
    threshold = np.nextafter(others[allowed], np.float32(np.inf))
    alike = scores[same]
    return Calibration(
        false_match_rate=rate,
        threshold=float(threshold),
        different_pairs=len(others),
        false_matches=int((others >= threshold).sum()),
        same_pairs=len(alike),
        true_match_rate=float((alike >= threshold).mean()) if len(alike) else None,
    )
