"""Exact solutions of the small quadratic problems of gradient methods.

The points ``p_k`` represent the gradients: columns with the same products (see ``correlation``).
"""

import numpy as np
from scipy.optimize import nnls

ITERATIONS = 1000


def nearest_to_origin(points: np.ndarray) -> np.ndarray:
    """Weights on the simplex of the point of the columns' convex hull with the least norm.

    Solved as non-negative least squares: minimising ``|P x|^2 + (sum(x) - 1)^2`` over ``x >= 0``
    gives a multiple of the weights (Lawson and Hanson, Solving Least Squares Problems, chapter 23).
    An active-set method finds it in finitely many steps.

    Args:
        points: ``[D, K]``.
    """
    norms = np.linalg.norm(points, axis=0)
    if not norms.all():
        return (norms == 0) / np.count_nonzero(norms == 0)
    # Unit columns, because short points count as much as long ones. The unit is the shortest point,
    # which bounds the result, so that the row of the sum is neither negligible nor dominant.
    system = np.vstack([points / norms, norms.min() / norms])
    target = np.zeros(len(system))
    target[-1] = 1
    weights = nnls(system, target, maxiter=ITERATIONS)[0] / norms
    return weights / weights.sum()


def project_to_dual_cone(points: np.ndarray, combination: np.ndarray) -> np.ndarray:
    """Weights of the vector nearest to ``P u`` that conflicts with no column.

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
