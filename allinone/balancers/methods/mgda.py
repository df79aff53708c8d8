"""MGDA: the shortest vector in the convex hull of the gradients."""

import numpy as np

from allinone.balancers.adaptive_weighting import SMALLEST_LOSS
from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.balancers.solvers.correlation import points_of
from allinone.balancers.solvers.simplex import nearest_to_origin
from allinone.registry import BALANCERS
from allinone.registry.options import check_choice


@BALANCERS.register_module()
class MGDA(GramianWeighting):
    r"""Multiple-gradient descent, `Sener and Koltun <https://arxiv.org/abs/1810.04650>`_.

    .. math:: \min_{\alpha \ge 0,\ \sum_k \alpha_k = 1} \Bigl\|\sum_k \alpha_k g_k / n_k\Bigr\|^2

    where :math:`g_k` is task k's backbone gradient and :math:`n_k` a normaliser: 1,
    :math:`\|g_k\|`, :math:`L_k` or :math:`L_k \|g_k\|`. As in the official code :math:`\alpha` then
    weighs the original gradients. With ``none`` the result never conflicts with a task, and is 0 on
    the Pareto front (as for opposite gradients). The shortest gradient dominates, so a task with a
    small loss determines the direction; the normalisers counter that. For identical gradients all
    weights on the simplex are solutions, and the result is the same vector.

    Deviations: solved exactly by an active-set method. TorchJD's Frank-Wolfe is off by 2 to 5 % in
    direction for K of 3 and 5. MGDA-UB needs a shared representation and does not apply: each task
    has different images.

    Args:
        normalizer: ``'none'``, ``'l2'``, ``'loss'`` or ``'loss+'``.
    """

    def __init__(self, normalizer: str = 'none'):
        super().__init__()
        self.normalizer = check_choice(
            'model.balancer.normalizer', normalizer, ('none', 'l2', 'loss', 'loss+')
        )

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        scale = np.ones(len(gramian))
        if self.normalizer in ('l2', 'loss+'):
            scale /= np.sqrt(np.diag(gramian))
        if self.normalizer in ('loss', 'loss+'):
            scale /= losses.clip(SMALLEST_LOSS)
        return nearest_to_origin(points_of(gramian) * scale)
