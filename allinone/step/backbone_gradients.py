"""Buffer for the tasks' backbone gradients of one step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from allinone.distributed.processes import is_sharded, local


class BackboneGradients:
    """Moves each task's gradient from the backbone's parameters to its row of one flat buffer.

    The buffer is ``[K, P]`` with P the number of trainable elements of the backbone; a parameter's
    part of a row has the memory layout of the parameter. Further iterations of gradient
    accumulation add to the rows. For sharded parameters it holds this process's shard.

    Args:
        params: The backbone's trainable parameters, all of one dtype and device.
        num_tasks: K, the number of all tasks.
    """

    def __init__(self, params: Sequence[nn.Parameter], num_tasks: int):
        self.params = list(params)
        self.parts = [local(param.detach()) for param in self.params]
        self.buffer = self.parts[0].new_zeros(num_tasks, sum(part.numel() for part in self.parts))
        self.views = [self._views(row) for row in self.buffer]
        self.reached = [False] * len(self.params)

    def _views(self, row: Tensor) -> list[Tensor]:
        offset = row.storage_offset()
        views = []
        for part in self.parts:
            views.append(row.as_strided(part.size(), part.stride(), offset))
            offset += part.numel()
        return views

    def take(self, task: int) -> None:
        """Add the parameters' ``.grad`` to the row of ``task``, and set them to None."""
        self.add_present(task)
        for param in self.params:
            param.grad = None

    def add_present(self, task: int) -> None:
        """Add the parameters' ``.grad`` to the row of ``task``, and keep them."""
        self._add(task, [param.grad for param in self.params])

    def add(self, task: int, loss: Tensor) -> None:
        """Add the gradient of ``loss`` to the row of ``task``; keep the graph."""
        self._add(
            task, torch.autograd.grad(loss, self.params, retain_graph=True, allow_unused=True)
        )

    def _add(self, task: int, grads: Sequence[Tensor | None]) -> None:
        present = {i: local(grad) for i, grad in enumerate(grads) if grad is not None}
        if not present:
            return
        torch._foreach_add_([self.views[task][i] for i in present], list(present.values()))
        for i in present:
            self.reached[i] = True

    def rows(self, tasks: Sequence[int]) -> Tensor:
        """The gradients ``[len(tasks), P]``, without a copy if all tasks take part."""
        tasks = list(tasks)
        return self.buffer if tasks == list(range(len(self.buffer))) else self.buffer[tasks]

    def put(self, gradient: Tensor) -> None:
        """Set ``.grad`` of every parameter with a gradient from any task to its part of ``[P]``."""
        for param, view, reached in zip(self.params, self._views(gradient), self.reached):
            param.grad = _like(param, view) if reached else None


def _like(param: nn.Parameter, part: Tensor) -> Tensor:
    """A gradient for ``param`` from ``part``, this process's shard of it."""
    if not is_sharded(param):
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part, param.device_mesh, param.placements, shape=param.shape, stride=param.stride()
    )
