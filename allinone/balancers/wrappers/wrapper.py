"""Base of the balancers that wrap another one."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from allinone.balancers.base import Balancer, Regulariser
from allinone.errors import ConfigError
from allinone.registry import BALANCERS
from allinone.registry.options import renamed


class Wrapper(Balancer):
    """A method that changes when or how strongly the weights of another method apply.

    Wrappers can be nested. ``weighs_losses``, ``requires`` and ``layer`` are those of the wrapped
    method. It treats hard input as documented in :class:`Balancer`; non-finite input does not
    change the wrapper's state either.

    Args:
        balancer: Config of the wrapped method.
        needs_weights: Whether the method must have one weight per task.

    Raises:
        ConfigError: If the method has no such weights or cannot be built.
    """

    counters: tuple[str, ...] = ('steps',)
    steps: int

    def __init__(self, balancer: Mapping, needs_weights: bool = True):
        super().__init__()
        with self.naming_inner():
            self.inner = BALANCERS.build(balancer)
        self.weighs_losses = self.inner.weighs_losses
        self.requires = self.inner.requires
        self.layer = self.inner.layer
        if needs_weights and self.requires == 'gradients':
            raise ConfigError(
                f'model.balancer.balancer.type is {balancer["type"]!r}, which has no '
                f'weights for {type(self).__name__} to keep; choose another'
            )

    @staticmethod
    def naming_inner() -> AbstractContextManager[None]:
        """Context in which errors name the wrapped method's options by their full config key."""
        return renamed('model.balancer', 'model.balancer.balancer')

    @property
    def regulariser(self) -> Regulariser | None:
        return self.inner.regulariser

    @property
    def uses_metrics(self) -> bool:
        return self.inner.uses_metrics

    def bind(self, task_names: Sequence[str]) -> None:
        with self.naming_inner():
            self.inner.bind(task_names)
        super().bind(task_names)

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        super().prepare(num_tasks, device)
        with self.naming_inner():
            self.inner.prepare(num_tasks, device)

    def start(self, epoch_steps: int, evaluated: Mapping[str, set[str] | None]) -> None:
        with self.naming_inner():
            self.inner.start(epoch_steps, evaluated)

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        with self.naming_inner():
            self.inner.after_validation(metrics)

    @property
    def factor_follows_loss(self) -> bool:
        """As in :class:`LossWeighting`, where the wrapped method is one."""
        return self.inner.factor_follows_loss

    def factor(self, task: int, loss: Tensor) -> Tensor:
        """As in :class:`LossWeighting`, where the wrapped method is one."""
        return self.inner.factor(task, loss)

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None:
        """As in :class:`LossWeighting`, where the wrapped method is one."""
        return self.inner.common(losses, tasks)

    def keep(
        self,
        kept: Tensor,
        new: Tensor,
        losses: Tensor,
        gramian: Tensor | None,
        tasks: Sequence[int] | None,
    ) -> None:
        """Write ``new`` ``[K]`` to ``kept`` ``[num_tasks]`` for tasks with finite input."""
        finite = torch.isfinite(losses)
        if not self.weighs_losses:
            finite = finite.all()
        if gramian is not None:
            finite = finite & torch.isfinite(gramian).all()
        index = self.index(tasks, len(losses), kept.device)
        kept[index] = torch.where(finite, new.to(kept), kept[index])
