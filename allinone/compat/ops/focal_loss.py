"""Focal loss over class indices, with sigmoid or softmax.

Source: Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017). An optional weight per
class (shape (C,), or (0,) for none) multiplies the rows of that class.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import to_kernel_dtype

__all__ = [
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
]


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Writes the loss of each logit to ``output``.

    Logarithms are taken of the logits directly; mmcv's kernels saturate beyond about |logit| = 17
    in float32.

    Args:
        input: Logits, shape (N, C).
        target: Class of each row, shape (N,), int64. A class outside [0, C), by convention C, is
            background: all its logits are negatives and its weight is 1.
        weight: Weight per class, shape (C,) or (0,).
        output: Output, shape (N, C).
        gamma: Exponent of the focusing factor.
        alpha: Weight of positives; negatives get 1 - alpha.
    """
    (input,) = to_kernel_dtype(input)
    positive = -alpha * torch.sigmoid(-input) ** gamma * F.logsigmoid(input)
    negative = -(1 - alpha) * torch.sigmoid(input) ** gamma * F.logsigmoid(-input)
    loss = torch.where(_is_class(target, input.shape[1]), positive, negative)
    output.copy_(loss * _row_weight(weight, target, input))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Writes the derivative of each loss by its logit to ``grad_input``, shape (N, C).

    The other arguments are those of ``sigmoid_focal_loss_forward``.
    """
    (input,) = to_kernel_dtype(input)
    p, q = torch.sigmoid(input), torch.sigmoid(-input)
    positive = -alpha * q**gamma * (q - gamma * p * F.logsigmoid(input))
    negative = -(1 - alpha) * p**gamma * (gamma * q * F.logsigmoid(-input) - p)
    grad = torch.where(_is_class(target, input.shape[1]), positive, negative)
    grad_input.copy_(grad * _row_weight(weight, target, input))


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Writes the loss of each row to ``output``.

    Args:
        input: Probabilities after softmax, shape (N, C).
        target: Class of each row, shape (N,), int64; the loss of a negative class is 0.
        weight: Weight per class, shape (C,) or (0,).
        output: Output, shape (N,).
        gamma: Exponent of the focusing factor.
        alpha: Factor of the whole loss.
    """
    (input,) = to_kernel_dtype(input)
    p, log_p = _target_probability(input, target)
    loss = -alpha * (1 - p) ** gamma * log_p
    loss = loss * _row_weight(weight, target, input).squeeze(1)
    output.copy_(torch.where(target >= 0, loss, torch.zeros_like(loss)))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Writes the derivative of each row's loss by its logits to ``grad_input``, shape (N, C).

    ``buff``, shape (N,), receives the factor common to a row. The other arguments are those of
    ``softmax_focal_loss_forward``.
    """
    (input,) = to_kernel_dtype(input)
    p, log_p = _target_probability(input, target)
    factor = alpha * (gamma * (1 - p) ** (gamma - 1) * p * log_p - (1 - p) ** gamma)
    factor = factor * _row_weight(weight, target, input).squeeze(1)
    factor = torch.where(target >= 0, factor, torch.zeros_like(factor))
    is_class = _is_class(target, input.shape[1]).to(input.dtype)
    buff.copy_(factor)
    grad_input.copy_(factor.unsqueeze(1) * (is_class - input))


def _is_class(target: Tensor, num_classes: int) -> Tensor:
    """Returns whether a column is its row's class, shape (N, C), bool."""
    return target.unsqueeze(1) == torch.arange(num_classes, device=target.device)


def _row_weight(weight: Tensor, target: Tensor, like: Tensor) -> Tensor:
    """Returns the weight of each row's class, 1 for background, shape (N, 1)."""
    if weight.numel() == 0:
        return like.new_ones(len(target), 1)
    # mmcv's kernels read past the end of `weight` for background.
    foreground = (target >= 0) & (target < len(weight))
    picked = weight.to(like.dtype)[target.clamp(0, len(weight) - 1)]
    return torch.where(foreground, picked, torch.ones_like(picked)).unsqueeze(1)


def _target_probability(probability: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the probability of each row's class and its logarithm, both of shape (N,)."""
    p = probability.gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)
    return p, p.clamp(min=torch.finfo(p.dtype).tiny).log()
