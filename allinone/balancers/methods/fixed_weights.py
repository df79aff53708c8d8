"""Weighted sum of the losses, the baseline of all other methods."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from allinone.balancers.base import LossWeighting
from allinone.errors import ConfigError
from allinone.registry import BALANCERS
from allinone.registry.options import check_number, check_numbers, check_one_each

KEY = 'model.balancer.weights'


@BALANCERS.register_module()
class FixedWeights(LossWeighting):
    r"""Weigh the losses by constants, :math:`\sum_k w_k L_k`.

    Kurin et al., `In Defense of the Unitary Scalarization <https://arxiv.org/abs/2201.04122>`_,
    find that a tuned sum often matches the adaptive methods.

    Args:
        weights: ``{task: w}`` (default 1 for other tasks) or one number per task in the order of
            ``model.tasks``; none negative, not all zero. Default: 1 each.

    Raises:
        ConfigError: If a weight is negative or not finite, all are zero, or the names or number
            do not fit the tasks.
    """

    factor_follows_loss = False
    _weights: Tensor

    def __init__(self, weights: Mapping[str, float] | Sequence[float] | None = None):
        super().__init__()
        if isinstance(weights, Mapping):
            weights = {
                name: check_number(f'{KEY}.{name}', value, 0) for name, value in weights.items()
            }
        elif weights is not None:
            weights = check_numbers(KEY, weights, 0, some=True)
        self._given = weights
        self.register_buffer('_weights', torch.ones(0), persistent=False)

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        known = self.num_tasks
        super().prepare(num_tasks, device)
        if not known:
            self._weights = torch.tensor(self._values(), device=device or self._weights.device)

    def _values(self) -> list[float]:
        given, tasks = self._given, self.task_names
        if given is None:
            return [1.0] * self.num_tasks
        if not isinstance(given, Mapping):
            check_one_each(KEY, given, self.num_tasks, tasks)
            return given
        if not tasks:
            raise ConfigError(f'{KEY} is {given}, by name; tell the names of all tasks with bind()')
        unknown = [name for name in given if name not in tasks]
        if unknown:
            raise ConfigError(
                f'{KEY} is {given}, but model.tasks does not have {unknown}; '
                f'its tasks are {list(tasks)}'
            )
        values = [given.get(name, 1.0) for name in tasks]
        if not any(values):
            raise ConfigError(f'{KEY} is {given}; make at least one positive')
        return values

    def factor(self, task: int, loss: Tensor) -> Tensor:
        return self._weights[task]
