"""Frozen parts of a joint model, which training does not change by a single bit."""

from typing import TYPE_CHECKING

from torch import nn

from allinone.config.parts import BACKBONE
from allinone.errors import ConfigError

if TYPE_CHECKING:
    from .allinone import AllInOne


def freeze(model: 'AllInOne') -> None:
    """Exclude the parts named by ``model.frozen`` from training.

    Their parameters need no gradient, and their modules are in evaluation mode: dropout is off and
    batch norm statistics do not change.
    """
    for part in frozen_parts(model):
        part.requires_grad_(False)
        part.eval()


def frozen_parts(model: 'AllInOne') -> list[nn.Module]:
    return [model.shared_part() if name == BACKBONE else model.tasks[name] for name in model.frozen]


def check_balancer(model: 'AllInOne', clip_grad_per_task: float | None) -> None:
    """Reject a balancer that needs the backbone's gradients if the backbone is frozen.

    Raises:
        ConfigError: If the balancer needs them.
    """
    if any(parameter.requires_grad for parameter in model.shared_part().parameters()):
        return
    balancer = model.balancer
    if balancer.requires != 'losses' or balancer.regulariser is not None:
        raise ConfigError(
            f'model.balancer.type is {type(balancer).__name__!r}, which looks at gradients of the '
            "backbone, but the backbone is frozen; use model.balancer=dict(type='FixedWeights')"
        )
    if clip_grad_per_task is not None:
        raise ConfigError(
            f'model.clip_grad_per_task is {clip_grad_per_task}, which clips gradients of the '
            'backbone, but the backbone is frozen; use optim_wrapper.clip_grad'
        )
