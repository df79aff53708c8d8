"""What a balancing method is to the training step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Balancer(nn.Module):
    """Decides how the tasks' losses or gradients are combined on the trunk.

    A module, so that whatever a method learns or remembers lies in the checkpoint under
    ``balancer.*``.

    Attributes:
        requires: What :meth:`weights` needs beside the losses: ``'losses'`` (nothing),
            ``'gramian'`` (the inner products of the tasks' trunk gradients) or ``'gradients'``
            (the gradients themselves; such a method overrides :meth:`combine`).
        task_names: Names of all tasks in the order of the config; empty until :meth:`bind`.
    """

    requires = 'losses'

    def __init__(self) -> None:
        super().__init__()
        self.task_names: tuple[str, ...] = ()

    def bind(self, task_names: Sequence[str]) -> None:
        """Learn the names of all tasks; a method checks its own options against them here.

        Raises:
            ConfigError: If an option does not fit these tasks.
        """
        self.task_names = tuple(task_names)

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        """Weights ``[K]`` of the K tasks of this step.

        Args:
            losses: Detached task losses ``[K]``.
            gramian: Inner products ``[K, K]`` of the tasks' trunk gradients, only where
                :attr:`requires` asks.
            tasks: Which of the bound tasks the K entries are, where a step does not name all;
                default: the first K.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define weights()')

    def combine(
        self, losses: Tensor, gradients: Tensor, tasks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The trunk's gradient ``[P]`` from the tasks' ``[K, P]``, and the weights ``[K]``."""
        gramian = gradients @ gradients.T if self.requires == 'gramian' else None
        weights = self.weights(losses, gramian, tasks)
        return weights @ gradients, weights


class LossWeighting(Balancer):
    """A method that weighs losses: trunk and head of a task see ``w_k * L_k``.

    The backward pass of one task is over before the next task's loss is known, and no gradient
    is kept. So a weight is split as ``w_k = factor(k, L_k) * common(L_1, ..., L_K)``: the factor
    scales the task's loss before its backward pass, the common part scales all gradients at the
    end of the step.
    """

    def factor(self, task: int, loss: Tensor) -> Tensor:
        """The part of task ``task``'s weight known from its own loss (scalars)."""
        raise NotImplementedError(f'{type(self).__name__} does not define factor()')

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None:
        """The part that all tasks share, from the losses ``[K]``; None where it is 1."""
        return None

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        tasks = range(len(losses)) if tasks is None else tasks
        weights = torch.stack(
            [self.factor(task, loss).to(losses) for task, loss in zip(tasks, losses, strict=True)]
        )
        common = self.common(losses, tasks)
        return weights if common is None else weights * common
