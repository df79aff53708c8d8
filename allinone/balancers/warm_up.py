"""Fixed weights first, then another method."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from allinone.errors import ConfigError
from allinone.registry import BALANCERS

from .base import check_count, check_number
from .wrapper import Wrapper


@BALANCERS.register_module()
class WarmUp(Wrapper):
    """Fixed weights for the first ``length`` steps, then another method.

    The method learns nothing before, so what it takes from its first step (GradNorm's first losses,
    STCH's reference) is of a model past its first transient.

    Args:
        balancer: Config of the method.
        length: Number of steps.
        weights: One number a task in the order of the tasks, not negative; default 1 each.
    """

    def __init__(self, balancer: Mapping, length: int, weights: Sequence[float] | None = None):
        super().__init__(balancer, needs_weights=False)
        self.length = check_count('model.balancer.length', length)
        for value in weights or ():
            check_number('model.balancer.weights', value, 0)
        if weights is not None and not any(weights):
            raise ConfigError(f'model.balancer.weights is {weights!r}; make at least one positive')
        self._fixed = weights

    @property
    def warm(self) -> bool:
        """Whether the method takes over in this step."""
        return self.steps >= self.length

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        super().prepare(num_tasks, device)
        if self._fixed is not None and len(self._fixed) != self.num_tasks:
            raise ConfigError(
                f'model.balancer.weights has {len(self._fixed)} numbers for '
                f'{self.num_tasks} tasks; give one for each'
            )

    def _weight(self, task: int) -> float:
        return 1.0 if self._fixed is None else float(self._fixed[task])

    def factor(self, task: int, loss: Tensor) -> Tensor:
        if self.warm:
            return self.inner.factor(task, loss)
        return torch.full_like(loss, self._weight(task))

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None:
        return self.inner.common(losses, tasks) if self.warm else None

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        self.prepare(len(losses), losses.device)
        if self.warm:
            return self.inner.weights(losses, gramian, tasks)
        tasks = range(len(losses)) if tasks is None else tasks
        return torch.stack([self.factor(task, loss) for task, loss in zip(tasks, losses)])

    def combine(
        self, losses: Tensor, gradients: Tensor, tasks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        if self.warm:
            self.prepare(len(losses), losses.device)
            self.steps += 1
            return self.inner.combine(losses, gradients, tasks)
        weights = self.weights(losses, tasks=tasks)
        self.steps += 1
        return weights.to(gradients) @ gradients, weights

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        if self.warm:
            self.inner.update(losses, gramian, tasks)
        self.steps += 1
