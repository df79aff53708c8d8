"""Dynamic weight average: larger weights for tasks whose loss falls more slowly."""

from collections.abc import Mapping

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.registry import BALANCERS
from allinone.registry.options import check_count, check_number


@BALANCERS.register_module()
class DynamicWeightAverage(AdaptiveWeighting):
    r"""DWA, `Liu et al. <https://arxiv.org/abs/1803.10704>`_.

    .. math:: w_k = K\, \mathrm{softmax}_k\bigl(L_k(t-1) / L_k(t-2) / T\bigr)

    where :math:`L_k(t)` is the mean loss of task k over epoch t, :math:`T` a temperature. Weights
    are 1 for the first two epochs. Multiplying a loss changes nothing.

    Deviations: an epoch is ``interval`` steps in which the task takes part, counted per task; a
    task with fewer than two epochs has a ratio of 1. Written by hand: TorchJD's ``DWA`` does not
    save its history.

    Args:
        temperature: T, above 0.
        interval: Steps per epoch. Default: in a training, the steps of one pass over the largest
            data set; outside a training, 1.
    """

    factor_follows_loss = False
    older: Tensor
    newer: Tensor
    total: Tensor
    count: Tensor

    def __init__(self, temperature: float = 2.0, interval: int | None = None):
        super().__init__()
        self.temperature = check_number('model.balancer.temperature', temperature, 0, open_low=True)
        self.interval = 1
        self._given = interval is not None
        if self._given:
            self.interval = check_count('model.balancer.interval', interval)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        nan = torch.full((num_tasks,), float('nan'))
        return dict(
            super().initial_state(num_tasks),
            older=nan,
            newer=nan.clone(),
            total=torch.zeros(num_tasks),
            count=torch.zeros(num_tasks),
        )

    def start(self, epoch_steps: int, evaluated: Mapping[str, set[str] | None]) -> None:
        if not self._given:
            self.interval = max(1, epoch_steps)

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        ratio = self.newer / self.older
        known = torch.isfinite(ratio)
        weights = self.num_tasks * torch.softmax(
            torch.where(known, ratio, 1.0) / self.temperature, 0
        )
        return weights[task]

    def learn(self, losses: Tensor, index: Tensor | slice, gramian: Tensor | None) -> None:
        total, count = self.total[index] + losses, self.count[index] + 1
        full = count >= self.interval
        self.older[index] = torch.where(full, self.newer[index], self.older[index])
        self.newer[index] = torch.where(full, total / count, self.newer[index])
        self.total[index] = torch.where(full, 0.0, total)
        self.count[index] = torch.where(full, 0.0, count)
