"""UPGrad: the mean of the gradients after each is projected to the dual cone."""

import numpy as np

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.balancers.solvers.correlation import points_of
from allinone.balancers.solvers.simplex import project_to_dual_cone
from allinone.registry import BALANCERS


@BALANCERS.register_module()
class UPGrad(GramianWeighting):
    r"""Unconflicting projection of gradients, `Quinton and Rey <https://arxiv.org/abs/2406.16232>`_.

    .. math:: \frac1K \sum_k \pi(g_k), \qquad
        \pi(g) = \arg\min_{d:\ \forall j\ d \cdot g_j \ge 0} \|d - g\|

    The result conflicts with no task and is linear under scaling of all gradients. Identical
    gradients give that gradient, opposite gradients 0.

    Deviations: only the solver, scipy's exact non-negative least squares. TorchJD's ``UPGrad``
    needs qpsolvers and quadprog and adds a regularisation.
    """

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        points = points_of(gramian)
        return np.mean(
            [project_to_dual_cone(points, unit) for unit in np.eye(len(gramian))], axis=0
        )
