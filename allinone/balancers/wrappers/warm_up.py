"""Warm-up with fixed weights before another method."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from allinone.balancers.methods.fixed_weights import FixedWeights
from allinone.registry import BALANCERS
from allinone.registry.options import check_count

from .wrapper import Wrapper


@BALANCERS.register_module()
class WarmUp(Wrapper):
    """Fixed weights for the first ``length`` steps, then another method.

    The method learns nothing during the warm-up, so the values of its first step (GradNorm's first
    losses, STCH's reference) are those of a model after the initial transient.

    Args:
        balancer: Config of the wrapped method.
        length: Number of warm-up steps.
        weights: As in :class:`FixedWeights`.
    """

    def __init__(
        self,
        balancer: Mapping,
        length: int,
        weights: Mapping[str, float] | Sequence[float] | None = None,
    ):
        super().__init__(balancer, needs_weights=False)
        self.length = check_count('model.balancer.length', length)
        self.fixed = FixedWeights(weights)

    @property
    def warm(self) -> bool:
        """Whether the warm-up is over."""
        return self.steps >= self.length

    def bind(self, task_names: Sequence[str]) -> None:
        self.fixed.bind(task_names)
        super().bind(task_names)

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        super().prepare(num_tasks, device)
        self.fixed.prepare(num_tasks, device)

    def factor(self, task: int, loss: Tensor) -> Tensor:
        return (self.inner if self.warm else self.fixed).factor(task, loss)

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None:
        return self.inner.common(losses, tasks) if self.warm else None

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        self.prepare(len(losses), losses.device)
        return (self.inner if self.warm else self.fixed).weights(losses, gramian, tasks)

    def combine(
        self, losses: Tensor, gradients: Tensor, tasks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        self.prepare(len(losses), losses.device)
        combined = (self.inner if self.warm else self.fixed).combine(losses, gradients, tasks)
        self.steps += 1
        return combined

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        if self.warm:
            self.inner.update(losses, gramian, tasks)
        self.steps += 1
