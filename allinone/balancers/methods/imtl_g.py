"""IMTL-G: equal projections on all gradients."""

import numpy as np

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.balancers.solvers.correlation import cosines_of
from allinone.registry import BALANCERS


@BALANCERS.register_module()
class IMTLG(GramianWeighting):
    r"""The gradient half of `Towards Impartial Multi-task Learning
    <https://openreview.net/forum?id=IMPnRXEWpvr>`_ (ICLR 2021).

    .. math:: d \cdot g_i / \|g_i\| = d \cdot g_j / \|g_j\|, \qquad d = \sum_k w_k g_k, \quad
        \sum_k w_k = 1

    So :math:`w_k \propto v_k / \|g_k\|` with :math:`C v = 1` and C the cosines. Weights may be
    negative. By the paper's rule the equal projections are negative too if many weights of short
    gradients are (one in a thousand samples of ten gradients with lengths up to 100 times apart).

    If a gradient depends on the others, v is the least-squares solution of least norm, so the
    projections are as equal as possible. Identical gradients have equal v, and d is along them.
    Opposite gradients (of any lengths) have equal projections only at 0, so d is 0.

    Deviations: none. Written by hand: TorchJD's ``IMTLGWeighting`` treats a short gradient as
    dependent, and in float32 rounding errors as a direction.
    """

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        cosines, lengths = cosines_of(gramian)
        v = np.linalg.pinv(cosines, self.rounding, hermitian=True).sum(1)
        weights = v / lengths
        total = weights.sum()
        exists = v.sum() > self.rounding and abs(total) > self.rounding * np.abs(weights).sum()
        return weights / total if exists else 0 * weights
