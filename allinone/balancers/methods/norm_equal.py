"""Gradients rescaled to one norm."""

import numpy as np

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.registry import BALANCERS
from allinone.registry.options import check_choice, check_number


@BALANCERS.register_module()
class NormEqual(GramianWeighting):
    r"""Each task's backbone gradient rescaled to one norm, as in the best-placed entry of Track 1
    (`2307.03465 <https://arxiv.org/abs/2307.03465>`_).

    .. math:: w_k = n / \|g_k\|

    Multiplying a loss changes only the common norm n, or nothing if n is fixed. Identical gradients
    give their sum, opposite gradients 0.

    Not in TorchJD. The entry clips each task first: ``model.clip_grad_per_task``.

    Args:
        norm: n: ``'mean'``, ``'min'``, ``'max'`` of the tasks' norms in each step, or a number.
    """

    def __init__(self, norm: str | float = 'mean'):
        super().__init__()
        if isinstance(norm, (int, float)):
            self.norm: str | float = check_number('model.balancer.norm', norm, 0, open_low=True)
        else:
            self.norm = check_choice(
                'model.balancer.norm', norm, ('mean', 'min', 'max'), 'a number above 0'
            )

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        norms = np.sqrt(np.diag(gramian))
        common = getattr(norms, self.norm)() if isinstance(self.norm, str) else self.norm
        return common / norms
