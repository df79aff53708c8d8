"""Batch norm's running statistics, which every forward pass in training moves in place."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

NAMES = ('running_mean', 'running_var')


class RunningStatistics:
    """The statistics of all norms below some modules.

    Within ``with``, forward passes do not move them: a backward pass that runs parts of the forward
    pass again (``with_cp``) would count its images twice.

    Args:
        modules: Where to look for norms that track statistics.
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
        """Of the norms in training, ``(buffers, name)`` of each statistic."""
        return [
            (cast('dict[str, Tensor]', norm._buffers), name)
            for norm in self._norms
            if norm.training
            for name in NAMES
        ]

    def renew(self) -> None:
        """Put copies in their place, so that the next forward pass moves these.

        The graph of the last one keeps the tensors that it saw: a second derivative needs them as
        they were.
        """
        for buffers, name in self.moving():
            buffers[name] = buffers[name].clone()


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
