"""Whether scores are probabilities: reliability diagram and expected calibration error."""

import numpy as np
from numpy.typing import NDArray

from .base import percent
from .parts import Reliability

BINS = 15


def reliability(title: str, scores: NDArray, right: NDArray, what: str) -> Reliability:
    r"""Bins of equal width of the scores, and the expected calibration error.

    .. math:: ECE = \sum_b \frac{n_b}{n} |accuracy_b - confidence_b|

    `Guo et al. 2017 <https://arxiv.org/abs/1706.04599>`_, with their 15 bins
    :math:`((b - 1) / 15, b / 15]`; confidence is the mean score of a bin.

    Args:
        title: Of the diagram.
        scores: ``(n,)`` from 0 to 1.
        right: ``(n,)``, whether each prediction is right.
        what: What they are of, for the note.
    """
    scores = np.asarray(scores, float)
    place = np.clip(np.ceil(scores * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    with np.errstate(invalid='ignore'):
        confidence = np.bincount(place, scores, BINS) / counts
        accuracy = np.bincount(place, np.asarray(right, float), BINS) / counts
    gaps = np.abs(accuracy - confidence)[counts > 0]
    ece = (gaps * counts[counts > 0]).sum() / counts.sum() if len(scores) else float('nan')
    return Reliability(
        title,
        counts.tolist(),
        _listed(confidence),
        _listed(accuracy),
        percent(ece),
        f'{what}, in {BINS} bins of equal width. The expected calibration error (ECE) is the mean '
        'distance between score and share of right predictions.',
    )


def _listed(values: NDArray) -> list[float | None]:
    return [None if value != value else float(value) for value in values]
