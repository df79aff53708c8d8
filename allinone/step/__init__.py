"""The balanced training step; read ``step.py`` first."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from allinone.balancers.base import Balancer
from allinone.errors import ConfigError

from .penalised_step import PenalisedStep
from .shared_step import SharedStep
from .step import BalancedStep

__all__ = ['BalancedStep', 'PenalisedStep', 'SharedStep', 'build_step']


def build_step(
    balancer: Balancer,
    backbone: nn.Module,
    tasks: dict[str, nn.Module],
    sources: Mapping[str, Sequence[str]] | None = None,
    **options: Any,
) -> BalancedStep:
    """Build the step of a method; arguments as for :class:`SharedStep`.

    Raises:
        ConfigError: If the method cannot train with such sources.
    """
    if not has_shared(sources or {}):
        options.pop('synchronised', None)
        options.pop('adapted', None)
        kind = BalancedStep if balancer.regulariser is None else PenalisedStep
        return kind(balancer, backbone, tasks, **options)
    if balancer.regulariser is not None:
        raise ConfigError(
            f'model.balancer.type is {type(balancer).__name__!r}, which keeps the graphs of all '
            'tasks down to the backbone, but train_dataloader has a source of several tasks, or '
            'several sources of one task; use another balancer, or give each task its own source'
        )
    return SharedStep(balancer, backbone, tasks, sources or {}, **options)


def has_shared(sources: Mapping[str, Sequence[str]]) -> bool:
    """Whether a source serves other tasks than the one of its name."""
    return any(tuple(tasks) != (source,) for source, tasks in sources.items())
