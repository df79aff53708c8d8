"""Batch norm's running statistics, which every training forward pass updates in place."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

NAMES = ('running_mean', 'running_var')


class RunningStatistics:
    """The statistics of all norms in some modules.

    As a context it stops forward passes from updating them: a backward pass that reruns parts of
    the forward pass (``with_cp``) would count its images twice.

    Args:
        modules: The modules to search for norms that track statistics.
    """

    def __init__(self, modules: Sequence[nn.Module]):
        self._norms = [
            norm
            for module in modules
            for norm in module.modules()
            if isinstance(norm, _NormBase) and norm.track_running_stats
        ]

    def __enter__(self) -> None:
        self._momenta = [norm.momentum for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 0.0

    def __exit__(self, *error) -> None:
        for norm, momentum in zip(self._norms, self._momenta):
            norm.momentum = momentum

    def moving(self) -> list[tuple[dict[str, Tensor], str]]:
        """``(buffers, name)`` of each statistic of the norms in training mode."""
        return [
            (cast('dict[str, Tensor]', norm._buffers), name)
            for norm in self._norms
            if norm.training
            for name in NAMES
        ]

    def renew(self) -> None:
        """Replace the statistics by copies, so that the next forward pass updates the copies.

        The last graph keeps the original tensors, which a second derivative needs unchanged.
        """
        for buffers, name in self.moving():
            buffers[name] = buffers[name].clone()


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
