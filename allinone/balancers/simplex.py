"""Exact solutions of the small quadratic problems that gradient methods pose, on a Gramian.

The points ``p_k`` stand for the gradients: columns of a K x K matrix with the same products.
"""

import numpy as np
from scipy.optimize import nnls

ITERATIONS = 1000


def points_of(gramian: np.ndarray) -> np.ndarray:
    """Columns ``p_k`` ``[K, K]`` with ``p_i . p_j`` the entries of a Gramian ``[K, K]``."""
    values, vectors = np.linalg.eigh(gramian)
    return np.sqrt(values.clip(0))[:, None] * vectors.T


def nearest_to_origin(points: np.ndarray) -> np.ndarray:
    """Weights on the simplex of the point of the columns' convex hull with the least norm.

    As non-negative least squares: minimising ``|P x|^2 + (sum(x) - 1)^2`` over ``x >= 0`` gives a
    multiple of the answer (Lawson and Hanson, Solving Least Squares Problems, chapter 23), found by
    an active-set method in finitely many steps.

    Args:
        points: ``[D, K]``.
    """
    # In units of the shortest one, which bounds the answer, so that tolerances mean something.
    norms = np.linalg.norm(points, axis=0)
    if not norms.all():
        return (norms == 0) / np.count_nonzero(norms == 0)
    system = np.vstack([points / norms.min(), np.ones(points.shape[1])])
    target = np.zeros(len(system))
    target[-1] = 1
    weights = nnls(system, target, maxiter=ITERATIONS)[0]
    return weights / weights.sum()


def project_to_dual_cone(points: np.ndarray, combination: np.ndarray) -> np.ndarray:
    """Weights of the nearest vector to ``P u`` that conflicts with no column.

    The projection to ``{d: P^T d >= 0}`` is ``P (u + v)`` with ``v >= 0`` minimising
    ``|P (u + v)|`` (Moreau's decomposition).

    Args:
        points: ``[D, K]``.
        combination: u ``[K]``.
    """
    # Unit columns: the cone is the same, and short gradients count as much as long ones.
    norms = np.linalg.norm(points, axis=0)
    unit = points / norms
    moved = nnls(unit, -(points @ combination), maxiter=ITERATIONS)[0]
    return combination + moved / norms
