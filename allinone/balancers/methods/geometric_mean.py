"""The geometric mean of the losses."""

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.registry import BALANCERS


@BALANCERS.register_module()
class GeometricMean(AdaptiveWeighting):
    r"""Geometric loss strategy, `MultiNet++ <https://arxiv.org/abs/1904.08492>`_.

    .. math:: \Bigl(\prod_k L_k\Bigr)^{1/K}, \qquad w_k = \frac{(\prod_j L_j)^{1/K}}{K L_k}

    The direction does not change when a loss is multiplied.

    Written by hand as a factor :math:`1/L_k` and a common part: TorchJD's ``GeometricMean`` (equal
    in value) needs all losses at once.
    """

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        return 1 / loss

    def shared_factor(self, losses: Tensor, seen: Tensor) -> Tensor:
        count = seen.sum()
        return torch.exp(torch.where(seen, losses.log(), 0).sum() / count) / count
