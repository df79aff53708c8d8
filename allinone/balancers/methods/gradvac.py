"""GradVac: gradients turned towards their mean angle."""

import numpy as np
import torch
from torch import Tensor

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.registry import BALANCERS
from allinone.registry.options import check_count, check_number

from .pcgrad import order_of

EPS = 1e-8


@BALANCERS.register_module()
class GradVac(GramianWeighting):
    r"""Gradient vaccine, `Wang et al. <https://arxiv.org/abs/2010.05874>`_.

    For each task i and, in random order, each other j with cosine
    :math:`\phi_{ij} = \cos(g_i', g_j)` below its running mean :math:`\hat\phi_{ij}`:

    .. math:: g_i' \leftarrow g_i' + \frac{\|g_i'\|
        \bigl(\hat\phi_{ij} \sqrt{1 - \phi_{ij}^2} - \phi_{ij} \sqrt{1 - \hat\phi_{ij}^2}\bigr)}
        {\|g_j\| \sqrt{1 - \hat\phi_{ij}^2}} g_j, \qquad
        \hat\phi_{ij} \leftarrow (1 - \beta) \hat\phi_{ij} + \beta \phi_{ij}

    and d is the sum. The means begin at 0, so the first step is PCGrad's.

    Deviations: as in the re-implementations :math:`\beta` is 0.5 (the paper's 0.01 is for a
    hundred thousand steps of one model); one mean for the full backbone, not one for each layer;
    the running mean is limited to 0.99 in size, because the factor is unbounded at 1 (identical
    gradients). Written by hand: a saved state of TorchJD's ``GradVac`` does not load into a new
    instance, and it samples its orders from the global generator.

    Args:
        beta: Weight of the new cosine, in [0, 1].
        seed: Seed of the orders.
    """

    counters = ('steps',)
    steps: int
    cosines: Tensor
    limit = 0.99

    def __init__(self, beta: float = 0.5, seed: int = 0):
        super().__init__()
        self.beta = check_number('model.balancer.beta', beta, 0, 1)
        self.seed = check_count('model.balancer.seed', seed, 0)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(cosines=torch.zeros(num_tasks, num_tasks))

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        means = self.cosines.to('cpu', torch.float64).numpy().copy()
        changed = np.eye(len(gramian))
        for i, row in enumerate(changed):
            for j in order_of('gradvac', self.seed, self.steps, tasks, i):
                own = np.sqrt(max(row @ gramian @ row, 0))
                other = np.sqrt(gramian[j, j])
                cosine = np.clip(row @ gramian[j] / (own * other + EPS * other**2), -1, 1)
                mean = np.clip(means[tasks[i], tasks[j]], -self.limit, self.limit)
                if cosine < mean:
                    row[j] += (
                        own / other * (mean * np.sqrt((1 - cosine**2) / (1 - mean**2)) - cosine)
                    )
                means[tasks[i], tasks[j]] += self.beta * (cosine - means[tasks[i], tasks[j]])
        self._pending = torch.from_numpy(means)
        return changed.sum(0)

    def commit(self) -> None:
        self.cosines.copy_(self._pending)
