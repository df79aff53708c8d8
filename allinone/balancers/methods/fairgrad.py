"""FairGrad: a fair allocation of the losses' decrease."""

import numpy as np
import torch
from torchjd.aggregation import FairGradWeighting

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.registry import BALANCERS
from allinone.registry.options import check_number

EVALUATIONS = 100
STEPS = 100
RESIDUAL = 1e-9


@BALANCERS.register_module()
class FairGrad(GramianWeighting):
    r"""Fair resource allocation, `Ban and Ji <https://arxiv.org/abs/2402.15638>`_.

    .. math:: G w = w^{-1/\alpha}, \qquad w > 0

    :math:`\alpha` 1 is proportional fairness (Nash-MTL), larger values tend to max-min. If a
    solution exists, all products with d are positive, so d conflicts with no task. No solution
    exists if a positive combination of the gradients is 0 (opposite gradients); w is then the
    least-squares compromise. With :math:`\alpha` 1, multiplying a loss does not change d.

    Deviations: none if a solution exists: Newton's method finds it as the minimum of the convex
    :math:`\tfrac12 w^\top G w - \sum_k w_k^{1 - 1/\alpha} / (1 - 1/\alpha)`. Otherwise TorchJD's
    ``FairGradWeighting`` (scipy's least squares, at most 100 evaluations) gives the compromise;
    used alone, it can end far from a solution if the gradients' norms differ much.

    Args:
        alpha: Above 0.
    """

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = check_number('model.balancer.alpha', alpha, 0, open_low=True)
        self._weighting = FairGradWeighting(alpha=self.alpha, max_iters=EVALUATIONS)

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        found = _newton(gramian, self.alpha)
        if found is not None:
            return found
        lengths = np.sqrt(np.diag(gramian))
        if self.alpha != 1:
            lengths = np.full(len(lengths), np.sqrt(np.mean(lengths**2)))
        scaled = torch.from_numpy(gramian / np.outer(lengths, lengths))
        return self._weighting(scaled).numpy() * lengths ** (-2 * self.alpha / (1 + self.alpha))


def _newton(gramian: np.ndarray, alpha: float) -> np.ndarray | None:
    """The solution ``[K]``, or None if the relative residual stays above 1e-9.

    The unit of each weight is that of the task alone, so that short gradients count as much as
    long ones.
    """
    units = np.diag(gramian) ** (-alpha / (1 + alpha))
    matrix = gramian * np.outer(units, units)
    scale = np.diag(matrix)
    power = 1 - 1 / alpha

    def potential(x: np.ndarray) -> float:
        barrier = np.log(x) if power == 0 else x**power / power
        return 0.5 * x @ matrix @ x - scale @ barrier

    x = np.ones(len(matrix))
    for _ in range(STEPS):
        target = scale * x ** (-1 / alpha)
        gradient = matrix @ x - target
        if np.abs(gradient / target).max() < RESIDUAL:
            return units * x
        try:
            direction = -np.linalg.solve(matrix + np.diag(target / (alpha * x)), gradient)
        except np.linalg.LinAlgError:  # No solution: the weights diverge.
            return None
        slope = gradient @ direction
        # Begin with the longest step that keeps x positive; halve it until it descends enough.
        size = min(1.0, 0.99 / max((-direction / x).max(), 1e-300))
        value = potential(x)
        while size > 1e-12 and not potential(x + size * direction) <= value + 1e-4 * size * slope:
            if abs(slope) < 1e-14 * max(abs(value), 1):
                break  # The descent is below rounding errors; accept Newton's step.
            size /= 2
        x = x + size * direction
        if not np.isfinite(x).all():
            return None
    return None
