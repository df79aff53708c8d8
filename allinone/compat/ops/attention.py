"""Multi-scale deformable attention.

Source: Zhu et al., "Deformable DETR" (ICLR 2021). These functions call mmcv's PyTorch
implementation; mmcv's ``MultiScaleDeformableAttention`` uses it on the CPU and calls these
functions on CUDA.
"""

import torch
from torch import Tensor

__all__ = [
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
]


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sums weighted bilinear samples of all levels.

    Args:
        value: Concatenated values of all levels, shape (B, sum of H * W, heads, channels).
        spatial_shapes: (H, W) of each level, shape (levels, 2), int64.
        level_start_index: Unused; follows from ``spatial_shapes``.
        sampling_loc: Locations (x, y) in fractions of a level's width and height, shape
            (B, queries, heads, levels, points, 2).
        attn_weight: Weight of each sample, shape (B, queries, heads, levels, points).
        im2col_step: Unused; controls only how mmcv's kernel splits its work.

    Returns:
        The sums, shape (B, queries, heads * channels).
    """
    # Imported late: mmcv imports this module while its package is still loading.
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    # A list is copied from the GPU once instead of once per use.
    shapes = spatial_shapes.tolist()
    output = multi_scale_deformable_attn_pytorch(value, shapes, sampling_loc, attn_weight)
    # Autocast samples in float32, but mmcv's backward pass expects the type of `value`.
    return output.to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Adds the gradients to ``grad_value``, ``grad_sampling_loc`` and ``grad_attn_weight``.

    The forward pass is repeated to record it. The other arguments are those of
    ``ms_deform_attn_forward``; ``grad_output`` has the shape of its result.
    """
    inputs = [tensor.detach().requires_grad_() for tensor in (value, sampling_loc, attn_weight)]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            inputs[0], spatial_shapes, level_start_index, inputs[1], inputs[2], im2col_step
        )
    grads = torch.autograd.grad(output, inputs, grad_output)
    grad_value += grads[0]
    grad_sampling_loc += grads[1]
    grad_attn_weight += grads[2]
