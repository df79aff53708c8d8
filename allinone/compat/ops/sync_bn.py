"""Batch normalization over all processes (mmcv's own, ``MMSyncBN``).

mmcv exchanges the statistics between these functions. Shapes: ``input``, ``output``, ``norm`` and
their gradients (N, C, L) with all pixels of an image in L; all else (C,) in float32.
"""

from torch import Tensor

__all__ = [
    'sync_bn_backward_data',
    'sync_bn_backward_param',
    'sync_bn_forward_mean',
    'sync_bn_forward_output',
    'sync_bn_forward_var',
]


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Writes the mean of each channel to ``mean``."""
    mean.copy_(input.float().mean((0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Writes the mean square of each channel's distance from ``mean`` to ``var``."""
    var.copy_((input.float() - _wide(mean)).square().mean((0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Normalizes by the statistics of all processes.

    Args:
        input: Input, shape (N, C, L).
        mean: Mean of each channel over all processes.
        var: Biased variance of each channel over all processes.
        weight: Scale of each channel; None for 1.
        bias: Shift of each channel, None like ``weight``.
        running_mean: Updated towards ``mean``; None where no statistics are tracked.
        running_var: Updated towards the unbiased variance, like ``running_mean``.
        norm: Output, the input normalized to mean 0 and variance 1.
        std: Output, the standard deviation of each channel.
        output: Output, ``norm`` scaled and shifted.
        eps: Added to the variance.
        momentum: Weight of the new statistics in the tracked ones.
        group_size: Number of processes.
    """
    std.copy_((var + eps).sqrt())
    norm.copy_((input.float() - _wide(mean)) / _wide(std))
    if weight is None or bias is None:
        output.copy_(norm)
    else:
        output.copy_(norm * _wide(weight) + _wide(bias))
    if running_mean is None or running_var is None:
        return
    count = input.shape[0] * input.shape[2] * group_size
    unbiased = var * count / (count - 1) if count > 1 else var
    for running, new in ((running_mean, mean), (running_var, unbiased)):
        running.copy_(momentum * new + (1 - momentum) * running)


def sync_bn_backward_param(
    grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> None:
    """Writes the gradients of weight and bias."""
    grad = grad_output.float()
    grad_weight.copy_((grad * norm).sum((0, 2)))
    grad_bias.copy_(grad.sum((0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Writes the gradient of the input, from the other gradients' means over all processes."""
    count = grad_output.shape[0] * grad_output.shape[2]
    through_statistics = (_wide(grad_weight) * norm + _wide(grad_bias)) / count
    grad_input.copy_((grad_output.float() - through_statistics) * _wide(weight) / _wide(std))


def _wide(channels: Tensor) -> Tensor:
    """Returns values per channel with the axes of an input."""
    return channels.view(-1, 1)
