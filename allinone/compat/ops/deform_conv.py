"""Deformable convolution, first (DCN) and second (DCNv2, modulated) version.

Shapes throughout: ``input`` (B, C_in, H, W), ``weight`` (C_out, C_in / groups, kH, kW), ``offset``
(B, deformable groups * kH * kW * 2, H_out, W_out) in pixels as (y, x) pairs, ``mask``
(B, deformable groups * kH * kW, H_out, W_out). mmcv and torchvision lay these out alike.

The buffers ``columns`` and ``ones`` and the argument ``im2col_step`` only control how mmcv's
kernels split their work, and are ignored here. Gradients are added to tensors that the caller
allocated.
"""

from collections.abc import Sequence

import torch
import torchvision  # noqa: F401  # registers `torch.ops.torchvision`
from torch import Tensor

from .precision import to_kernel_dtype

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
]


FAR = 1e6  # pixels


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Writes the convolution to ``output``, shape (B, C_out, H_out, W_out)."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Adds the gradients of input and offset to ``gradInput`` and ``gradOffset``.

    torchvision computes all gradients at once, so training a layer computes them twice: here and
    in ``deform_conv_backward_parameters``.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _gradients(gradOutput, input, weight, offset, None, None, geometry)
    gradInput += grads[0]
    gradOffset += _as_mmcv(grads[2], offset, (kH, kW), geometry)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Adds the gradient of the weight, times ``scale``, to ``gradWeight``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    # This gradient does not depend on the weight's value, which mmcv does not pass.
    weight = torch.zeros_like(gradWeight)
    grads = _gradients(gradOutput, input, weight, offset, None, None, geometry)
    gradWeight += grads[1] * scale


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Writes the modulated convolution to ``output``, shape (B, C_out, H_out, W_out).

    ``bias`` has shape (C_out,), or (0,) if ``with_bias`` is False.
    """
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    offset, mask = (_as_read(part, output.shape[2:]) for part in (offset, mask))
    output.copy_(_convolve(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Adds the gradients to ``grad_*``; leaves ``grad_bias`` unchanged without ``with_bias``."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    size = grad_output.shape[2:]
    offset, mask = _as_read(offset, size), _as_read(mask, size)
    grads = _gradients(
        grad_output, input, weight, offset, mask, bias if with_bias else None, geometry
    )
    grad_input += grads[0]
    grad_weight += grads[1]
    _add(grad_offset, _as_mmcv(grads[2], offset, (kernel_h, kernel_w), geometry))
    _add(grad_mask, grads[3])
    if with_bias:
        grad_bias += grads[4]


def _as_read(values: Tensor, size: Sequence[int]) -> Tensor:
    """Returns an offset or mask as mmcv's modulated kernels read it.

    They index its memory by the output's size ``(H_out, W_out)``, whatever its own. DyHead
    convolves a level of half the size with the offsets of the level below, and learns from that.
    """
    if values.shape[2:] == size:
        return values
    count = values.shape[1] * size[0] * size[1]
    return values.flatten(1)[:, :count].reshape(*values.shape[:2], *size)


def _outside(offset: Tensor) -> Tensor:
    """Returns offsets that point out of every image where they are not finite.

    mmcv's kernels read 0 there; torchvision's take NaN for a place in memory, and the process dies.
    """
    return offset.nan_to_num(nan=FAR, posinf=FAR, neginf=-FAR)


def _as_mmcv(
    grad_offset: Tensor, offset: Tensor, kernel: tuple[int, int], geometry: tuple[int, ...]
) -> Tensor:
    """Returns torchvision's gradient of the offsets with mmcv's value at the border.

    Bilinear interpolation has two slopes at a whole number. Both libraries take that towards
    larger coordinates, but at -1, just outside of the first row or column, mmcv takes the slope
    outside, which is 0. All of the padding of a layer is there as long as its offsets are 0.

    Args:
        grad_offset: torchvision's gradient, of the shape of ``offset``.
        offset: Offsets, shape (B, deformable groups * kH * kW * 2, H_out, W_out).
        kernel: kH and kW.
        geometry: Strides, paddings and dilations, each of y before that of x, and the groups.
    """
    places, taps = offset.shape[2:], kernel
    grad = grad_offset.view(len(offset), -1, *taps, 2, *places)
    at = offset.to(grad.dtype).view(grad.shape)
    for axis in (0, 1):
        stride, pad, dilation = geometry[axis], geometry[2 + axis], geometry[4 + axis]
        place = torch.arange(places[axis], device=offset.device) * stride - pad
        tap = torch.arange(taps[axis], device=offset.device) * dilation
        # Summed as integers before the offset is added, as the kernels do, so that rounding agrees.
        whole = tap.view(-1, *[1] * (3 - axis)) + place.view(-1, *[1] * (1 - axis))
        grad[..., axis, :, :].masked_fill_(at[..., axis, :, :] + whole == -1, 0)
    return grad_offset


def _add(grad: Tensor, found: Tensor) -> None:
    """Adds the gradient of what :func:`_as_read` returns to that of its argument."""
    if grad.shape == found.shape:
        grad += found
    else:
        grad.view(len(grad), -1)[:, : found[0].numel()] += found.flatten(1)


def _mask_and_bias(
    mask: Tensor | None, bias: Tensor | None, input: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Replaces an absent mask or bias, because torchvision's operators need all tensors."""
    if mask is None:
        # Never read, but its batch size is checked.
        mask = input.new_zeros(len(input), 1)
    if bias is None:
        bias = weight.new_zeros(len(weight))
    return mask, bias


def _convolve(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: tuple[int, ...],
) -> Tensor:
    tensors = to_kernel_dtype(input, weight, offset, *_mask_and_bias(mask, bias, input, weight))
    tensors = (*tensors[:2], _outside(tensors[2]), *tensors[3:])
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, mask is not None)


def _gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """Returns the gradients of input, weight, offset, mask and bias."""
    tensors = to_kernel_dtype(
        grad_output, input, weight, offset, *_mask_and_bias(mask, bias, input, weight)
    )
    tensors = (*tensors[:3], _outside(tensors[3]), *tensors[4:])
    return torch.ops.torchvision._deform_conv2d_backward(*tensors, *geometry, mask is not None)
