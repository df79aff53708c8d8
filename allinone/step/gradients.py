"""Helpers for the gradients of parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from allinone.distributed.processes import local


def trainable(module: nn.Module) -> list[nn.Parameter]:
    return [param for param in module.parameters() if param.requires_grad]


def all_finite(grads: Sequence[Tensor]) -> Tensor:
    """Whether the total norm is finite (scalar, bool)."""
    return torch.isfinite(get_total_norm(grads))


def put_aside(params: Sequence[nn.Parameter]) -> dict[nn.Parameter, Tensor]:
    """Remove and return the gradients of earlier backward passes."""
    aside = {param: param.grad for param in params if param.grad is not None}
    for param in aside:
        param.grad = None
    return aside


def add_back(aside: dict[nn.Parameter, Tensor]) -> None:
    """Add the gradients that :func:`put_aside` removed to the current ones."""
    both = [(grad, param.grad) for param, grad in aside.items() if param.grad is not None]
    if both:
        torch._foreach_add_([local(grad) for grad, _ in both], [local(new) for _, new in both])
    for param, grad in aside.items():
        param.grad = grad
