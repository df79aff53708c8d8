"""One sign for each element of the gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from allinone.datasets.seeded import seed_of
from allinone.registry import BALANCERS

from .base import Balancer, check_count, check_number


@BALANCERS.register_module()
class GradDrop(Balancer):
    r"""Gradient sign dropout, `Chen et al. <https://arxiv.org/abs/2010.06808>`_.

    For each element of the trunk's gradient, with :math:`U` uniform in (0, 1):

    .. math:: P = \tfrac12 \Bigl(1 + \frac{\sum_k g_k}{\sum_k |g_k|}\Bigr), \qquad
        d = \sum_k \bigl(l + (1 - l)\, [\,g_k > 0, P > U \text{ or } g_k < 0, P < U\,]\bigr)\, g_k

    Identical gradients give their sum. It has no weights a task: :meth:`weights` answers 1 each.

    Deviations: elements are parameters, as in the paper's multi-task form; the leak l is one
    number. Written by hand: TorchJD's ``GradDrop`` draws from the global generator; here U is a
    function of (seed, number of the step).

    Args:
        leak: Share of each gradient that is never dropped, in [0, 1].
        seed: Another seed gives another U.
    """

    requires = 'gradients'
    counters = ('steps',)

    def __init__(self, leak: float = 0.0, seed: int = 0):
        super().__init__()
        self.leak = check_number('model.balancer.leak', leak, 0, 1)
        self.seed = check_count('model.balancer.seed', seed, 0)

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        return torch.ones_like(losses)

    def combine(
        self, losses: Tensor, gradients: Tensor, tasks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        total = gradients.sum(0)
        weights = self.weights(losses)
        if len(gradients) == 1:
            return total, weights
        size = gradients.abs().sum(0)
        if not torch.isfinite(size).all():
            return total, weights
        generator = torch.Generator(gradients.device)
        generator.manual_seed(seed_of('graddrop', self.seed, self.steps))
        self.steps += 1
        drawn = torch.rand(total.shape, generator=generator, device=total.device)
        purity = 0.5 * (1 + total / size)
        # Only one sign is kept of an element: the sum of its positive or of its negative parts.
        positive = 0.5 * (total + size)
        kept = torch.where(
            purity > drawn, positive, torch.where(purity < drawn, total - positive, 0.0)
        )
        return self.leak * total + (1 - self.leak) * kept, weights
