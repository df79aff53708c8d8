"""Random weights, sampled in every step."""

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.io.seeding import seed_of
from allinone.registry import BALANCERS
from allinone.registry.options import check_count


@BALANCERS.register_module()
class RandomWeights(AdaptiveWeighting):
    r"""Random loss weighting, `Lin et al. <https://arxiv.org/abs/2111.10603>`_.

    .. math:: w = \mathrm{softmax}(x), \qquad x_k \sim \mathcal N(0, 1)

    A baseline for the other methods: a method that is not better does not balance.

    Deviations: none. Written by hand because TorchJD's ``Random`` samples from the global
    generator: here the weights of a step are a function of (seed, number of the step), the same on
    every rank. The state is the number of the step, which also advances after a non-finite loss.

    Args:
        seed: Seed of the weights.
    """

    factor_follows_loss = False
    counters = ('steps',)
    steps: int

    def __init__(self, seed: int = 0):
        super().__init__()
        self.seed = check_count('model.balancer.seed', seed, 0)
        self._drawn: tuple[int, Tensor] | None = None

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        if self._drawn is None or self._drawn[0] != self.steps:
            generator = torch.Generator().manual_seed(seed_of('weights', self.seed, self.steps))
            drawn = torch.softmax(torch.randn(self.num_tasks, generator=generator), 0)
            # Non-blocking, so that the host does not wait for the device in every step.
            self._drawn = self.steps, drawn.to(loss, non_blocking=True)
        return self._drawn[1][task]
