"""A running mean of another method's weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from allinone.registry import BALANCERS
from allinone.registry.options import check_number

from .wrapper import Wrapper


@BALANCERS.register_module()
class SmoothedTaskWeights(Wrapper):
    r"""Exponential moving average of the weights of another method.

    .. math:: \bar w_t = m\, \bar w_{t-1} + (1 - m)\, w_t

    The initial average is the task's first weight. Weights of a loss weighting are known only at
    the end of a step, so :math:`\bar w_{t-1}` applies in step t, and 1 in a task's first step.

    Args:
        balancer: Config of the wrapped method.
        momentum: m in [0, 1].
    """

    average: Tensor

    def __init__(self, balancer: Mapping, momentum: float = 0.9):
        super().__init__(balancer)
        self.momentum = check_number('model.balancer.momentum', momentum, 0, 1)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(average=torch.full((num_tasks,), float('nan')))

    def factor(self, task: int, loss: Tensor) -> Tensor:
        return self.average[task].nan_to_num(1.0)

    def common(self, losses: Tensor, tasks: Sequence[int]) -> None:
        return None

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        self.prepare(len(losses), losses.device)
        if not self.weighs_losses:
            self._last = self._blend(losses, gramian, tasks)
            return self._last
        return self.average[self.index(tasks, len(losses), losses.device)].nan_to_num(1.0)

    def _blend(self, losses: Tensor, gramian: Tensor | None, tasks: Sequence[int] | None) -> Tensor:
        new = self.inner.weights(losses, gramian, tasks)
        average = self.average[self.index(tasks, len(losses), losses.device)].to(new)
        return torch.lerp(new, torch.where(torch.isfinite(average), average, new), self.momentum)

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        new = self._blend(losses, gramian, tasks) if self.weighs_losses else self._last
        self.keep(self.average, new, losses, gramian, tasks)
        self.inner.update(losses, gramian, tasks)
        self.steps += 1
