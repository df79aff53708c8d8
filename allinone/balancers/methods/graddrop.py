"""GradDrop: one sign for each element of the gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from allinone.balancers.base import Balancer
from allinone.distributed.processes import holders
from allinone.io.seeding import seed_of
from allinone.registry import BALANCERS
from allinone.registry.options import check_count, check_number

PARTS = 16


@BALANCERS.register_module()
class GradDrop(Balancer):
    r"""Gradient sign dropout, `Chen et al. <https://arxiv.org/abs/2010.06808>`_.

    For each element of the backbone's gradient, with :math:`U` uniform in (0, 1):

    .. math:: P = \tfrac12 \Bigl(1 + \frac{\sum_k g_k}{\sum_k |g_k|}\Bigr), \qquad
        d = \sum_k \bigl(l + (1 - l)\, [\,g_k > 0, P > U \text{ or } g_k < 0, P < U\,]\bigr)\, g_k

    Identical gradients give their sum. There are no weights per task: :meth:`weights` returns ones.

    Deviations: elements are parameters, as in the paper's multi-task form; the leak l is one
    number. Written by hand: TorchJD's ``GradDrop`` samples from the global generator; here U is a
    function of (seed, number of the step, element), also for sharded gradients.

    Args:
        leak: Fraction of each gradient that is never dropped, in [0, 1].
        seed: Seed of U.
    """

    requires = 'gradients'
    counters = ('steps',)
    steps: int

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
        weights = self.weights(losses)
        if len(gradients) == 1:
            return gradients[0].clone(), weights
        generator = torch.Generator(gradients.device)
        generator.manual_seed(seed_of('graddrop', self.seed, self.steps))
        combined = torch.empty_like(gradients[0])
        # In parts: full temporaries would take more memory than the gradients.
        processes = holders()
        sizes = [
            self._combine_part(gradients[:, part], combined[part], drawn)
            for part, drawn in processes.draw(generator, len(combined), PARTS)
        ]
        largest = torch.stack([combined.new_zeros((), dtype=torch.float32), *sizes])
        if not processes.agreed(largest.isfinite().all()):
            return gradients.sum(0), weights
        self.steps += 1
        return combined, weights

    def _combine_part(self, gradients: Tensor, out: Tensor, drawn: Tensor) -> Tensor:
        """Write d of elements ``[K, P']`` to ``out`` ``[P']``; return the maximum of sum |g_k|."""
        gradients = gradients.to(torch.promote_types(gradients.dtype, torch.float32))
        total = gradients.sum(0)
        size = gradients.abs().sum(0)
        # Keep one sign of each element: the sum of its positive or of its negative parts.
        positive = 0.5 * (total + size)
        kept = torch.where(positive > drawn * size, positive, total - positive)
        out.copy_(torch.lerp(kept, total, self.leak))
        return size.amax()
