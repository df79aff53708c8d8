"""The weighted sum: the baseline that every other method has to beat."""

from collections.abc import Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from allinone.errors import ConfigError
from allinone.registry import BALANCERS

from .base import LossWeighting


@BALANCERS.register_module()
class FixedWeights(LossWeighting):
    r"""Weigh the losses by constants, :math:`\sum_k w_k L_k`.

    Kurin et al., `In Defense of the Unitary Scalarization <https://arxiv.org/abs/2201.04122>`_,
    find that a tuned sum often matches the adaptive methods.

    Args:
        weights: ``{task: w}`` (tasks left out weigh 1) or one number a task in the order of
            ``model.tasks``; none negative, not all zero. Default: 1 each.

    Raises:
        ConfigError: If a weight is negative or not finite, all are zero, or the names or number
            do not fit the tasks.
    """

    def __init__(self, weights: Mapping[str, float] | Sequence[float] | None = None):
        super().__init__()
        self._given = weights
        # A mapping leaves tasks out: bind() sees the whole list.
        values = [] if isinstance(weights, Mapping) else self._check(weights or ())
        self.register_buffer('_weights', torch.tensor(values), persistent=False)

    @staticmethod
    def _check(values) -> list[float]:
        for value in values:
            if not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
                raise ConfigError(
                    f'model.balancer.weights holds {value!r}; give finite numbers that are not '
                    'negative'
                )
        values = [float(value) for value in values]
        if values and not any(values):
            raise ConfigError(
                'model.balancer.weights are all 0, so nothing would be trained; '
                'make at least one positive'
            )
        return values

    def bind(self, task_names: Sequence[str]) -> None:
        super().bind(task_names)
        given = self._given
        if isinstance(given, Mapping):
            unknown = set(given) - set(task_names)
            if unknown:
                raise ConfigError(
                    f'model.balancer.weights names {sorted(unknown)}, which model.tasks does not '
                    f'have; its tasks are {list(task_names)}'
                )
            values = self._check([given.get(name, 1.0) for name in task_names])
        elif given is not None and len(given) != len(task_names):
            raise ConfigError(
                f'model.balancer.weights has {len(given)} numbers for {len(task_names)} tasks '
                f'{list(task_names)}; give one for each'
            )
        else:
            values = self._weights.tolist() or [1.0] * len(task_names)
        self._weights = torch.tensor(values, device=self._weights.device)

    def factor(self, task: int, loss: Tensor) -> Tensor:
        if not len(self._weights):
            return torch.ones_like(loss)
        return self._weights[task]
