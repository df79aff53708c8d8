"""The balanced training step; read ``step.py`` first."""

from typing import Any

from torch import nn

from allinone.balancers.base import Balancer

from .penalised_step import PenalisedStep
from .step import BalancedStep

__all__ = ['BalancedStep', 'PenalisedStep', 'build_step']


def build_step(
    balancer: Balancer, backbone: nn.Module, tasks: dict[str, nn.Module], **options: Any
) -> BalancedStep:
    """Build the step of a method; arguments as for :class:`BalancedStep`."""
    kind = BalancedStep if balancer.regulariser is None else PenalisedStep
    return kind(balancer, backbone, tasks, **options)
