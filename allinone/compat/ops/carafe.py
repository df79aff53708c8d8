"""CARAFE: upsampling with a kernel that is predicted for each output pixel.

Source: Wang et al., "CARAFE: Content-Aware ReAssembly of FEatures" (ICCV 2019).

Shapes throughout: ``features`` (B, C, H, W), ``masks`` (B, groups * k * k, s * H, s * W) with the
kernels, ``output`` (B, C, s * H, s * W), for kernel size k and scale factor s. Output pixel (y, x)
is the weighted sum of the k * k features around (y // s, x // s), which are 0 outside of the map.

The arguments that start with ``r`` are mmcv's buffers in another memory layout. Only ``rfeatures``
is used: mmcv hands it from the forward pass to the backward pass. Gradients are added to tensors
that the caller allocated.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from .precision import to_kernel_dtype

__all__ = [
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
]


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Writes the upsampled features to ``output``.

    Args:
        features: Features, shape (B, C, H, W).
        masks: Kernels, shape (B, groups * k * k, s * H, s * W).
        output: Output, shape (B, C, s * H, s * W).
        kernel_size: k, odd.
        group_size: Number of groups; the channels of a group share a kernel.
        scale_factor: s.
    """
    features, masks = to_kernel_dtype(features, masks)
    kernels = _by_source(masks, group_size, scale_factor)
    result = _by_source(output, group_size, scale_factor)
    total = features.new_zeros(result.shape)
    for tap, window in enumerate(_windows(_padded(features, kernel_size, group_size), kernel_size)):
        total.addcmul_(window, kernels[..., tap, None, :, :])
    result.copy_(total)


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Adds the gradients to ``grad_input`` and ``grad_masks``, of the shapes of the inputs."""
    grad_output, features, masks = to_kernel_dtype(grad_output, features, masks)
    grad = _by_source(grad_output, group_size, scale_factor).contiguous()
    kernels = _by_source(masks, group_size, scale_factor)
    grad_kernels = _by_source(grad_masks, group_size, scale_factor)
    padded = _padded(features, kernel_size, group_size)
    grad_padded = padded.new_zeros(padded.shape)
    windows = zip(_windows(padded, kernel_size), _windows(grad_padded, kernel_size), strict=True)
    for tap, (window, grad_window) in enumerate(windows):
        grad_window += (grad * kernels[..., tap, None, :, :]).sum((0, 1))
        grad_kernels[..., tap, :, :] += (grad * window).sum(-3)
    inner = grad_padded.flatten(1, 2)
    if border := kernel_size // 2:
        inner = inner[..., border:-border, border:-border]
    grad_input += inner


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Writes the upsampled features to ``output`` and a copy of the features to ``rfeatures``."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Adds the gradients to ``grad_input`` and ``grad_masks``, of the shapes of the inputs."""
    carafe_naive_backward(
        grad_output,
        rfeatures,
        masks,
        grad_input,
        grad_masks,
        kernel_size,
        group_size,
        scale_factor,
    )


def _by_source(tensor: Tensor, groups: int, scale: int) -> Tensor:
    """Returns a view of a tensor in output size by the pixel of the features below.

    Args:
        tensor: Values, shape (B, groups * channels, s * H, s * W).
        groups: Number of groups.
        scale: s.

    Returns:
        The view, shape (s, s, B, groups, channels, H, W).
    """
    height, width = (size // scale for size in tensor.shape[2:])
    split = tensor.view(len(tensor), groups, -1, height, scale, width, scale)
    return split.permute(4, 6, 0, 1, 2, 3, 5)


def _padded(features: Tensor, kernel: int, groups: int) -> Tensor:
    """Returns the features with a border of zeros, channels split into groups."""
    return F.pad(features, [kernel // 2] * 4).unflatten(1, (groups, -1))


def _windows(padded: Tensor, kernel: int) -> Iterator[Tensor]:
    """Yields, for each place in the kernel in reading order, the features (..., H, W) under it."""
    height, width = (size - kernel + 1 for size in padded.shape[-2:])
    for y in range(kernel):
        for x in range(kernel):
            yield padded[..., y : y + height, x : x + width]
