"""Buffer for the tasks' gradients at the feature maps of one forward pass of the backbone."""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from allinone.distributed.processes import ALONE, Alone, Spread


class FeatureGradients:
    """The counterpart of :class:`BackboneGradients` for products at the feature maps.

    For feature maps z of one backbone pass, the gradient of task k on the backbone is
    :math:`J^T \\partial L_k / \\partial z`. With rows :math:`\\partial L_k / \\partial z`, a method
    compares the tasks without a backward pass of the backbone for each of them (MGDA-UB,
    `1810.04650 <https://arxiv.org/abs/1810.04650>`_, section 3.3), and one backward pass of the
    combined row gives the backbone's gradient. Products of the rows differ from those of the
    backbone's gradients by :math:`J J^T`, whose eigenvalues bound the ratio of both.

    With several processes the rows of the union of their batches lie one after the other, a part in
    each process.

    Args:
        maps: The feature maps with their graph.
        num_tasks: K, the number of all tasks.
        backward: Called with the maps and their gradients; adds to ``.grad`` of the backbone.
        processes: The processes of the step.
    """

    def __init__(
        self,
        maps: Sequence[Tensor],
        num_tasks: int,
        backward: Callable[[Sequence[Tensor], Sequence[Tensor]], None],
        processes: Alone,
    ):
        self.maps = list(maps)
        self._backward = backward
        self._processes = processes
        self._sizes = [part.numel() for part in self.maps]
        # At least float32: rows are divided by the factor of a loss scaler.
        dtype = torch.promote_types(self.maps[0].dtype, torch.float32)
        self.buffer = self.maps[0].new_zeros(num_tasks, sum(self._sizes), dtype=dtype)
        self._ranks = dist.get_world_size() if processes.many else 1

    def holders(self) -> Alone:
        """The processes that the rows are spread over."""
        return Spread(self.buffer.shape[1]) if self._processes.many else ALONE

    def add(self, task: int, grads: Sequence[Tensor | None]) -> None:
        """Add the gradients at the maps to the row of ``task``; None is zero."""
        parts = self.buffer[task].split(self._sizes)
        for part, grad, feature_map in zip(parts, grads, self.maps):
            if grad is not None:
                # Of the loss of the union of all batches
                part.view(feature_map.shape).add_(grad, alpha=1 / self._ranks)

    def rows(self, tasks: Sequence[int]) -> Tensor:
        """The gradients ``[len(tasks), Q]``, without a copy if all tasks take part."""
        tasks = list(tasks)
        return self.buffer if tasks == list(range(len(self.buffer))) else self.buffer[tasks]

    def put(self, gradient: Tensor) -> None:
        """Run the backward pass of the backbone from the combined row ``[Q]``."""
        parts = (gradient * self._ranks).split(self._sizes)
        grads = [part.view(m.shape).to(m.dtype) for part, m in zip(parts, self.maps)]
        self._backward(self.maps, grads)
