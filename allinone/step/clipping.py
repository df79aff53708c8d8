"""Clipping of gradients by their norm."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from allinone.distributed.processes import Alone, is_sharded, local


def clip_tasks(
    rows: Tensor, tasks: Sequence[nn.Module], max_norm: float, scale: Tensor, processes: Alone
) -> None:
    """Clip each task's gradient (backbone and task-specific parameters together) in place.

    Args:
        rows: The backbone's gradients ``[K, P]``, multiplied by ``scale`` as all others.
        tasks: The K tasks' sub-models.
        max_norm: The limit of each task's norm.
        scale: Factor of the loss scaler (scalar).
        processes: The processes that may hold shards of the gradients.
    """
    for row, task in zip(rows, tasks):
        grads = [(param, param.grad) for param in task.parameters() if param.grad is not None]
        parts = [local(grad) for param, grad in grads if is_sharded(param)]
        others = [grad for param, grad in grads if not is_sharded(param)]
        square = processes.whole(_square([row, *parts])) + _square(others).to(row.device)
        norm = square.sqrt().to(row) / scale
        torch._foreach_mul_([row, *parts, *others], (max_norm / (norm + 1e-6)).clamp(max=1))


def _square(grads: Sequence[Tensor]) -> Tensor:
    """Square of the total norm, in float64, which does not overflow."""
    return get_total_norm(grads).double() ** 2


class ClipWithoutWaiting:
    """An optimizer wrapper's ``clip_func`` that keeps the norm before clipping.

    mmengine reads a returned norm at each step and so waits for the device; this norm is logged
    with the other scalars.

    Args:
        clip: The function that clips; it returns the norm or None.
    """

    def __init__(self, clip: Callable[..., Tensor | None]):
        self.clip = clip
        self._norm: Tensor | None = None

    def __call__(self, params: Sequence[Tensor], **options) -> None:
        norm = self.clip(params, **options)
        self._norm = norm.full_tensor() if is_sharded(norm) else norm

    def take_norm(self) -> Tensor | None:
        """Return the norm of the last call, and forget it."""
        norm, self._norm = self._norm, None
        return norm
