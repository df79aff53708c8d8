"""Weights of another method, computed every n steps."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from allinone.registry import BALANCERS
from allinone.registry.options import check_count

from .wrapper import Wrapper


@BALANCERS.register_module()
class UpdateEvery(Wrapper):
    """Weights of another method, computed every ``interval`` steps and kept between.

    The wrapped method sees only those steps. With one task per step, choose an interval without a
    common divisor with the number of tasks; otherwise some weights are never computed and stay 1.

    Args:
        balancer: Config of the wrapped method.
        interval: Number of steps between computations.
    """

    kept: Tensor

    def __init__(self, balancer: Mapping, interval: int = 10):
        super().__init__(balancer)
        self.interval = check_count('model.balancer.interval', interval)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(kept=torch.full((num_tasks,), float('nan')))

    @property
    def computes(self) -> bool:
        """Whether this step computes weights."""
        return self.steps % self.interval == 0

    def factor(self, task: int, loss: Tensor) -> Tensor:
        return self.inner.factor(task, loss) if self.computes else self.kept[task].nan_to_num(1.0)

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None:
        return self.inner.common(losses, tasks) if self.computes else None

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        self.prepare(len(losses), losses.device)
        if self.computes:
            self._last = self.inner.weights(losses, gramian, tasks)
            return self._last
        return self.kept[self.index(tasks, len(losses), losses.device)].to(losses).nan_to_num(1.0)

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        if self.computes:
            self.keep(self.kept, self._last, losses, gramian, tasks)
            self.inner.update(losses, gramian, tasks)
        self.steps += 1
