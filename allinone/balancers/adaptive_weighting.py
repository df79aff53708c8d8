"""Base of loss weightings with a state: last-known losses, hard input, checked updates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import LossWeighting

SMALLEST_LOSS = 1e-8


class AdaptiveWeighting(LossWeighting):
    """A loss weighting that learns from the losses without a device-to-host copy.

    A method defines :meth:`task_factor`, :meth:`learn`, and, if the weights depend on the other
    tasks' losses of the same step, :meth:`shared_factor`. A step that names a subset of the tasks
    uses the last-known losses of the others. Means leave out tasks that were not seen yet. A task
    with a non-finite loss is treated as not named by the step.
    """

    last_losses: Tensor

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(last_losses=torch.full((num_tasks,), float('nan')))

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        """Return :meth:`factor` for at least two tasks and a positive loss."""
        return torch.ones_like(loss)

    def shared_factor(self, losses: Tensor, seen: Tensor) -> Tensor | None:
        """Return :meth:`common` from the last-known losses of all tasks ``[num_tasks]``.

        Args:
            losses: The losses; NaN for a task not seen yet.
            seen: Whether each loss is known, bool.
        """
        return None

    def learn(self, losses: Tensor, index: Tensor | slice, gramian: Tensor | None) -> None:
        """Update the buffers in place at the end of a step.

        Args:
            losses: Positive losses ``[K]`` of the step's tasks; NaN for a task that takes no part,
                whose entries in buffers ``[num_tasks, ...]`` are restored afterwards.
            index: Index of these tasks in a buffer.
            gramian: As in :meth:`Balancer.weights`.
        """

    def factor(self, task: int, loss: Tensor) -> Tensor:
        one = torch.ones_like(loss)
        if self.num_tasks < 2:
            return one
        factor = self.task_factor(task, loss.clamp_min(SMALLEST_LOSS)).to(loss)
        return torch.where(torch.isfinite(factor) & torch.isfinite(loss), factor, one)

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None:
        if self.num_tasks < 2:
            return None
        merged, seen = self.merge(losses, tasks)
        common = self.shared_factor(merged, seen)
        if common is None:
            return None
        return torch.where(torch.isfinite(common) & (common > 0), common, torch.ones_like(common))

    def merge(self, losses: Tensor, tasks: Sequence[int] | None) -> tuple[Tensor, Tensor]:
        """Last-known losses ``[num_tasks]`` including this step's, and whether each is known."""
        merged = self.last_losses.to(losses, copy=True)
        index = self.index(tasks, len(losses), losses.device)
        new = losses.clamp_min(SMALLEST_LOSS)
        merged[index] = torch.where(torch.isfinite(losses), new, merged[index])
        return merged, torch.isfinite(merged)

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        losses = losses.detach().float()
        self.prepare(len(losses), losses.device)
        for name in self.counters:
            setattr(self, name, getattr(self, name) + 1)
        if self.num_tasks < 2:
            return
        index = self.index(tasks, len(losses), losses.device)
        taking_part = torch.isfinite(losses)
        if gramian is not None:
            taking_part = taking_part & torch.isfinite(gramian).all()
        # Decided on the device, so that the host does not wait in every step.
        losses = torch.where(taking_part, losses.clamp_min(SMALLEST_LOSS), torch.nan)
        of_tasks = [buffer for buffer in self._buffers.values() if len(buffer) == self.num_tasks]
        before = [buffer[index].clone() for buffer in of_tasks]
        self.learn(losses, index, gramian)
        self.last_losses[index] = losses.to(self.last_losses)
        for buffer, old in zip(of_tasks, before):
            keeps = taking_part.view(-1, *[1] * (buffer.dim() - 1))
            buffer[index] = torch.where(keeps, buffer[index], old)
