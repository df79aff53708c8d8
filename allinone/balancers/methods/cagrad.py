"""CAGrad: the best worst-case decrease near the mean gradient."""

import numpy as np
from scipy.optimize import brentq

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.balancers.solvers.correlation import points_of
from allinone.balancers.solvers.simplex import nearest_to_origin, project_to_dual_cone
from allinone.registry import BALANCERS
from allinone.registry.options import check_flag, check_number

# Relative to the shortest gradient: points are exact to 1e-8.
ZERO = 1e-7


@BALANCERS.register_module()
class CAGrad(GramianWeighting):
    r"""Conflict-averse gradient descent, `Liu et al. <https://arxiv.org/abs/2110.14048>`_.

    .. math:: \max_d \min_k g_k \cdot d \ \text{ with }\ \|d - g_0\| \le c \|g_0\|: \qquad
        d = g_0 + c \|g_0\| \frac{g_w}{\|g_w\|}, \qquad
        w = \arg\min_{w \ge 0, \sum w = 1} g_w \cdot g_0 + c \|g_0\| \|g_w\|

    where :math:`g_0` is the mean gradient and :math:`g_w = \sum_k w_k g_k`. With :math:`c \ge 1` d
    conflicts with no task; with a smaller c it may, if the mean does. If the best :math:`g_w` is 0,
    its direction is undefined, and d is the vector nearest to :math:`g_0` that conflicts with no
    task. :math:`g_0 = 0` gives 0.

    Deviations: solved exactly. For a fixed length t of :math:`g_w` the problem is the shortest
    vector in the hull of :math:`g_k + t\,g_0/(c\|g_0\|)`; t is then a root. TorchJD's ``CAGrad``
    needs cvxpy and clarabel and returns 0 where :math:`g_w` is small.

    Args:
        c: Radius relative to the mean gradient, not below 0; 0 is the mean.
        rescale: Divide by :math:`1 + c^2` as the official code does.
    """

    def __init__(self, c: float = 0.4, rescale: bool = False):
        super().__init__()
        self.c = check_number('model.balancer.c', c, 0)
        self.rescale = check_flag('model.balancer.rescale', rescale)

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        mean = np.full(len(gramian), 1 / len(gramian))
        points = points_of(gramian)
        center = points @ mean
        radius = self.c * np.linalg.norm(center)
        lengths = np.linalg.norm(points, axis=0)
        weights = mean
        if radius > ZERO * lengths.min():
            weights = self._near(points, center, radius, lengths, mean)
        return weights / (1 + self.c**2) if self.rescale else weights

    @staticmethod
    def _near(points, center, radius, lengths, mean) -> np.ndarray:
        def best(size: float) -> np.ndarray:
            return nearest_to_origin(points + (np.exp(size) / radius * center)[:, None])

        def excess(size: float) -> float:
            return np.linalg.norm(points @ best(size)) / np.exp(size) - 1

        # Logarithms, because the length ranges from the longest gradient's to far below.
        low, high = np.log(ZERO * lengths.min()), np.log(2 * lengths.max())
        if excess(low) <= 0:
            return project_to_dual_cone(points, mean)
        weights = best(brentq(excess, low, high, xtol=1e-14))
        return mean + radius / np.linalg.norm(points @ weights) * weights
