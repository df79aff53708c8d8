"""Weights drawn anew in every step."""

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

    A litmus test: a method that does not beat it does not balance.

    Deviations: none. Written by hand because TorchJD's ``Random`` draws from the global generator:
    here a step's numbers are a function of (seed, number of the step), the same on every rank, and
    the number of the step is the state. It advances after a loss that is not finite, too.

    Args:
        seed: Another seed gives other weights.
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
            # Not blocking, or the host would wait for the device in every step.
            self._drawn = self.steps, drawn.to(loss, non_blocking=True)
        return self._drawn[1][task]
