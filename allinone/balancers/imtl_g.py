"""Equal projections on all gradients."""

import numpy as np
import torch
from torchjd.aggregation import IMTLGWeighting

from allinone.registry import BALANCERS

from .gramian_weighting import GramianWeighting


@BALANCERS.register_module()
class IMTLG(GramianWeighting):
    r"""The gradient half of `Towards Impartial Multi-task Learning
    <https://openreview.net/forum?id=IMPnRXEWpvr>`_ (ICLR 2021).

    .. math:: d \cdot g_i / \|g_i\| = d \cdot g_j / \|g_j\|, \qquad d = \sum_k w_k g_k, \quad
        \sum_k w_k = 1

    Weights may be negative. Identical gradients give equal weights; where no such d exists
    (opposite gradients of one length) it is 0.

    Deviations: none. Uses TorchJD's ``IMTLGWeighting`` on the unit gradients, whose pseudo-inverse
    does not take a short gradient for a dependent one.
    """

    def __init__(self):
        super().__init__()
        self._weighting = IMTLGWeighting()

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        norms = np.sqrt(np.diag(gramian))
        unit = torch.from_numpy(gramian / np.outer(norms, norms)).float()
        weights = self._weighting(unit).double().numpy() / norms
        total = weights.sum()
        return weights / total if abs(total) > 1e-9 * np.abs(weights).sum() else 0 * weights
