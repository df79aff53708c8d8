"""Nash-MTL: the Nash bargaining solution for the direction."""

import numpy as np

from allinone.registry import BALANCERS
from allinone.registry.options import check_number

from .fairgrad import FairGrad


@BALANCERS.register_module()
class NashMTL(FairGrad):
    r"""`Multi-task learning as a bargaining game <https://arxiv.org/abs/2202.01017>`_.

    .. math:: G w = 1 / w, \qquad w > 0

    so :math:`\|d\|^2 = K`; d is then clipped to ``max_norm``. Multiplying a loss does not change d.

    Deviations: solved in every step (the official code reuses a solution for some steps; wrap it
    in ``UpdateEvery`` for that), as FairGrad with :math:`\alpha = 1`, which is the same equation.
    TorchJD's ``NashMTL`` needs cvxpy, has an empty state dict, and silently returns ones if a row
    of G sums to 0.

    Args:
        max_norm: Largest length of d, above 0.
    """

    def __init__(self, max_norm: float = 1.0):
        super().__init__(alpha=1.0)
        self.max_norm = check_number('model.balancer.max_norm', max_norm, 0, open_low=True)

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        weights = super().solve(gramian, losses, tasks)
        length = np.sqrt(max(weights @ gramian @ weights, 0))
        return weights * min(1.0, self.max_norm / max(length, 1e-30))
