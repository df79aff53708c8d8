"""Fair shares of the decrease of the losses."""

import numpy as np
import torch
from torchjd.aggregation import FairGradWeighting

from allinone.registry import BALANCERS

from .base import check_number
from .gramian_weighting import GramianWeighting

EVALUATIONS = 100


@BALANCERS.register_module()
class FairGrad(GramianWeighting):
    r"""Fair resource allocation, `Ban and Ji <https://arxiv.org/abs/2402.15638>`_.

    .. math:: G w = w^{-1/\alpha}, \qquad w > 0

    :math:`\alpha` 1 is proportional fairness (Nash-MTL), larger ones tend to max-min. All products
    with d are positive, so it conflicts with no task where a solution exists; for gradients of
    which a positive combination is 0 (opposite ones) none does, and w is the least-squares
    compromise. With :math:`\alpha` 1, multiplying a loss does not change d.

    Deviations: at most 100 evaluations, which only gradients without a solution need. Uses
    TorchJD's ``FairGradWeighting`` (scipy's least squares), whose tolerances are absolute, on the
    Gramian of the unit gradients for :math:`\alpha` 1 and on that divided by its mean diagonal for
    others: the solutions differ by known factors.

    Args:
        alpha: Above 0.
    """

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = check_number('model.balancer.alpha', alpha, 0, open_low=True)
        self._weighting = FairGradWeighting(alpha=self.alpha, max_iters=EVALUATIONS)

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        lengths = np.sqrt(np.diag(gramian))
        if self.alpha != 1:
            lengths = np.full(len(lengths), np.sqrt(np.mean(lengths**2)))
        scaled = torch.from_numpy(gramian / np.outer(lengths, lengths))
        return self._weighting(scaled).numpy() * lengths ** (-2 * self.alpha / (1 + self.alpha))
