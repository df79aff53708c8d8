"""PCGrad: each gradient projected to the normal plane of those that it conflicts with."""

import numpy as np

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.io.seeding import seed_of
from allinone.registry import BALANCERS
from allinone.registry.options import check_count


@BALANCERS.register_module()
class PCGrad(GramianWeighting):
    r"""Gradient surgery, `Yu et al. <https://arxiv.org/abs/2001.06782>`_.

    For each task i and, in random order, each other j with :math:`g_i' \cdot g_j < 0`:

    .. math:: g_i' \leftarrow g_i' - \frac{g_i' \cdot g_j}{\|g_j\|^2} g_j, \qquad
        d = \sum_i g_i'

    where :math:`g_i'` is initially :math:`g_i`, and :math:`g_j` is the original. For two tasks d
    conflicts with none; for more it may. Scaling one loss scales only its term of d. Opposite
    gradients give 0, identical gradients their sum.

    Deviations: none. Written by hand because TorchJD's ``PCGrad`` samples from the global
    generator: here the orders of a step are a function of (seed, number of the step), the same on
    every rank, and the state is the number of the step.

    Args:
        seed: Seed of the orders.
    """

    counters = ('steps',)
    steps: int

    def __init__(self, seed: int = 0):
        super().__init__()
        self.seed = check_count('model.balancer.seed', seed, 0)

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        changed = np.eye(len(gramian))
        for i, row in enumerate(changed):
            for j in order_of('pcgrad', self.seed, self.steps, tasks, i):
                product = gramian[j] @ row
                if product < 0:
                    row[j] -= product / gramian[j, j]
        return changed.sum(0)


def order_of(name: str, seed: int, step: int, tasks: list[int], i: int) -> list[int]:
    """Positions of the other tasks, in an order that depends on the tasks, not on the positions."""
    draws = {j: seed_of(name, seed, step, tasks[i], task) for j, task in enumerate(tasks) if j != i}
    return sorted(draws, key=draws.__getitem__)
