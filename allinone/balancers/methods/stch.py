"""STCH: a smooth maximum of the losses."""

from collections.abc import Sequence
from math import exp

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.registry import BALANCERS
from allinone.registry.options import (
    check_choice,
    check_flag,
    check_number,
    check_numbers,
    check_one_each,
)

LARGEST_EXPONENT = 30.0


@BALANCERS.register_module()
class STCH(AdaptiveWeighting):
    r"""`Smooth Tchebycheff scalarization <https://arxiv.org/abs/2402.19078>`_.

    .. math:: \mu \log \sum_k \exp\frac{\lambda_k (f_k - z_k)}{\mu}, \qquad
        w_k \propto \lambda_k e^{\lambda_k (f_k - z_k)/\mu}\, \partial f_k / \partial L_k

    where :math:`f_k = L_k` or, with ``log``, :math:`\log L_k`; :math:`\lambda` is a preference on
    the simplex, :math:`z` the ideal point. The smaller :math:`\mu`, the more the worst task counts.

    Deviations: exponents are relative to the largest of the last step (exact, because it cancels)
    and limited to 30 in size. The official code divides losses by their mean over warm-up epochs;
    ``reference='first'`` divides by (with ``log``) or subtracts the first loss instead; wrap it in
    ``WarmUp`` for the warm-up. Written by hand to split the weights into a factor and a common
    part; equal in value to TorchJD's ``STCH``.

    Args:
        mu: Smoothing :math:`\mu`, above 0.
        preference: :math:`\lambda_k`, in the order of the tasks; default 1/K each.
        reference: :math:`z_k`, in the order of the tasks, or ``'first'``; default 0.
        log: Use the logarithms of the losses.
    """

    first_losses: Tensor

    def __init__(
        self,
        mu: float = 1.0,
        preference: Sequence[float] | None = None,
        reference: Sequence[float] | str | None = None,
        log: bool = False,
    ):
        super().__init__()
        self.mu = check_number('model.balancer.mu', mu, 0, open_low=True)
        if preference is not None:
            preference = check_numbers('model.balancer.preference', preference, 0, open_low=True)
        if isinstance(reference, (list, tuple)):
            reference = check_numbers('model.balancer.reference', reference)
        elif reference is not None:
            check_choice(
                'model.balancer.reference',
                reference,
                ('first',),
                'a list with one number for each task',
            )
        self.preference, self.reference = preference, reference
        self.log = check_flag('model.balancer.log', log)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(
            super().initial_state(num_tasks), first_losses=torch.full((num_tasks,), float('nan'))
        )

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        super().prepare(num_tasks, device)
        for name in ('preference', 'reference'):
            given = getattr(self, name)
            if given is not None and given != 'first':
                check_one_each(f'model.balancer.{name}', given, self.num_tasks, self.task_names)

    def _lambda(self, task: int) -> float:
        return self.preference[task] if self.preference else 1 / self.num_tasks

    def _exponent(self, task: int, loss: Tensor) -> Tensor:
        value = loss.log() if self.log else loss
        if isinstance(self.reference, str):
            first = self.first_losses[task]
            value = value - torch.where(
                torch.isfinite(first), first.log() if self.log else first, value
            )
        elif self.reference is not None:
            value = value - self.reference[task]
        return self._lambda(task) * value / self.mu

    def _exponents(self, losses: Tensor) -> Tensor:
        return torch.stack([self._exponent(task, loss) for task, loss in enumerate(losses)])

    def _largest(self) -> Tensor:
        seen = torch.isfinite(self.last_losses)
        largest = torch.where(seen, self._exponents(self.last_losses), -torch.inf).amax()
        return torch.where(seen.any(), largest, 0.0)

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        exponent = (self._exponent(task, loss) - self._largest()).clamp(
            -LARGEST_EXPONENT, LARGEST_EXPONENT
        )
        return self._lambda(task) * exponent.exp() / (loss if self.log else 1)

    def shared_factor(self, losses: Tensor, seen: Tensor) -> Tensor:
        exponents = (self._exponents(losses) - self._largest()).clamp(
            -LARGEST_EXPONENT, LARGEST_EXPONENT
        )
        return 1 / torch.where(seen, exponents.exp(), 0).sum().clamp_min(exp(-LARGEST_EXPONENT))

    def learn(self, losses: Tensor, index: Tensor | slice, gramian: Tensor | None) -> None:
        first = self.first_losses[index]
        self.first_losses[index] = torch.where(torch.isfinite(first), first, losses)
