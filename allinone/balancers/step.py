"""From the tasks' losses to one update: weights, trunk gradients, clipping."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from .base import Balancer, LossWeighting
from .trunk_gradients import TrunkGradients


class BalancedStep:
    """Collects the backward passes of one optimizer step and combines them.

    A loss weighting scales each loss before its backward pass and lets the gradients add up
    where they are, so it keeps none. The tasks' trunk gradients are kept apart (one flat buffer
    of K rows) only for methods that ask for them, for clipping per task, and on the steps whose
    norms are logged; without gradient accumulation those steps make the very additions that
    ``.grad`` would, so logging does not change the training by a bit.

    Args:
        balancer: The method.
        trunk: The shared trunk.
        tasks: ``{name: sub-model}`` of all tasks.
        max_task_norm: Clip the gradient of each task (its part of the trunk and its own
            parameters) to this norm before combining; None: not.
        norm_interval: Log the tasks' trunk gradient norms at every so many iterations; 0: never.
    """

    def __init__(
        self,
        balancer: Balancer,
        trunk: nn.Module,
        tasks: dict[str, nn.Module],
        max_task_norm: float | None = None,
        norm_interval: int = 0,
    ):
        self.balancer = balancer
        self.trunk = trunk
        self.tasks = tasks
        self.max_task_norm = max_task_norm
        self.norm_interval = norm_interval
        self._order = {name: index for index, name in enumerate(tasks)}
        self._reset()

    def _reset(self) -> None:
        self._gradients: TrunkGradients | None = None
        self._losses: dict[int, Tensor] = {}

    def _begin(self, iteration: int) -> None:
        measure = self.norm_interval and iteration % self.norm_interval == 0
        if self.balancer.requires != 'losses' or self.max_task_norm is not None or measure:
            params = [param for param in self.trunk.parameters() if param.requires_grad]
            if params:
                self._gradients = TrunkGradients(params, len(self.tasks))

    def backward(self, task: str, loss: Tensor, optim_wrapper) -> None:
        """Backward pass of one task; its graph is freed, its trunk gradient stored or added."""
        if not self._losses:
            self._begin(optim_wrapper.inner_count)
        index = self._order[task]
        detached = loss.detach()
        self._losses[index] = self._losses[index] + detached if index in self._losses else detached
        if isinstance(self.balancer, LossWeighting):
            loss = loss * self.balancer.factor(index, detached)
        optim_wrapper.backward(optim_wrapper.scale_loss(loss))
        if self._gradients is not None:
            self._gradients.take(index)

    def finish(self, scale: Tensor) -> dict[str, Tensor]:
        """Leave the combined gradients in ``.grad``, ready for the optimizer.

        Args:
            scale: What the loss scaler of mixed precision multiplied the gradients by (scalar).

        Returns:
            Scalars to log, a weight and, where measured, a gradient norm for each task:
            ``{'TASK/weight': ..., 'TASK/grad_norm': ...}``.
        """
        order = sorted(self._losses)
        losses = torch.stack([self._losses[index].float() for index in order])
        names = [list(self._order)[index] for index in order]
        weighs_losses = isinstance(self.balancer, LossWeighting)
        log = {}
        if get_world_size() > 1:
            losses = self._average_over_processes(losses, names)
        if self._gradients is not None:
            rows = self._gradients.rows(order)
            if self.max_task_norm is not None:
                self._clip_tasks(rows, names, scale)
            norms = torch.linalg.vector_norm(rows, dim=1) / scale
            if not weighs_losses:
                # Products of unscaled gradients: some methods' weights depend on their size.
                rows.div_(scale)
                combined, weights = self.balancer.combine(losses, rows, order)
                combined = combined * scale
            else:
                # In the order of the backward passes, as accumulating in .grad would add them.
                combined = rows[0].clone()
                for row in rows[1:]:
                    combined += row
            self._gradients.put(combined)
            log = {f'{name}/grad_norm': norm for name, norm in zip(names, norms)}
        if weighs_losses:
            weights = self.balancer.weights(losses, tasks=order)
            common = self.balancer.common(losses, order)
            if common is not None:
                grads = [
                    param.grad
                    for module in (self.trunk, *(self.tasks[n] for n in names))
                    for param in module.parameters()
                    if param.grad is not None
                ]
                torch._foreach_mul_(grads, common)
        log |= {f'{name}/weight': weight for name, weight in zip(names, weights)}
        self._reset()
        return log

    def _average_over_processes(self, losses: Tensor, names: list[str]) -> Tensor:
        """Replace losses and gradients by their means over the processes, in one all-reduce."""
        modules = [self.tasks[name] for name in names]
        if self._gradients is None:
            modules.insert(0, self.trunk)
        grads = [
            param.grad
            for module in modules
            for param in module.parameters()
            if param.grad is not None
        ]
        if self._gradients is not None:
            grads.insert(0, self._gradients.buffer)
        flat = torch.cat([losses, *(grad.flatten() for grad in grads)])
        all_reduce(flat, 'mean')
        parts = flat.split([len(losses), *(grad.numel() for grad in grads)])
        torch._foreach_copy_(grads, [part.view_as(grad) for part, grad in zip(parts[1:], grads)])
        return parts[0]

    def _clip_tasks(self, rows: Tensor, names: list[str], scale: Tensor) -> None:
        for row, name in zip(rows, names):
            grads = [
                row,
                *(param.grad for param in self.tasks[name].parameters() if param.grad is not None),
            ]
            norm = get_total_norm(grads) / scale
            torch._foreach_mul_(grads, (self.max_task_norm / (norm + 1e-6)).clamp(max=1))
