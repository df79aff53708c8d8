"""Gradients from their Gramian, in a way that does not lose the short ones.

All of this works on the matrix of cosines. Its eigenvalues are exact to about 1e-16, so the points
are to 1e-8 of the length of *each* gradient. Of the Gramian itself they would be to 1e-8 of the
*longest*: beside one of length 1e4, a gradient of length 1 would be off by 1e-4, and a combination
in which it nearly cancels by much more.
"""

import numpy as np


def cosines_of(gramian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines ``[K, K]`` and lengths ``[K]`` of the gradients with a Gramian ``[K, K]``."""
    lengths = np.sqrt(np.diag(gramian))
    return gramian / np.outer(lengths, lengths), lengths


def points_of(gramian: np.ndarray, rounding: float = 0.0) -> np.ndarray:
    """Columns ``p_k`` ``[D, K]`` with ``p_i . p_j`` the entries of a Gramian ``[K, K]``.

    Args:
        gramian: With a positive diagonal.
        rounding: Eigenvalues of the cosines below this share of the largest count as 0; D is the
            number of the others.
    """
    cosines, lengths = cosines_of(gramian)
    values, vectors = np.linalg.eigh(cosines)
    present = values > rounding * values[-1]
    return np.sqrt(values[present])[:, None] * vectors[:, present].T * lengths
