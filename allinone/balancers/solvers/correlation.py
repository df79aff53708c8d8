"""Reconstruction of gradients from their Gramian that preserves short gradients.

The functions use the matrix of cosines. Its eigenvalues are exact to about 1e-16, so the points are
exact to 1e-8 of the length of *each* gradient. From the Gramian they would be exact to 1e-8 of the
*longest*: next to a gradient of length 1e4, one of length 1 would be off by 1e-4, and a combination
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
        gramian: Gramian with a positive diagonal.
        rounding: Eigenvalues of the cosines below this fraction of the largest count as 0; D is
            the number of the others.
    """
    cosines, lengths = cosines_of(gramian)
    values, vectors = np.linalg.eigh(cosines)
    present = values > rounding * values[-1]
    return np.sqrt(values[present])[:, None] * vectors[:, present].T * lengths
