"""The gradient of a deformable convolution's offsets at whole numbers, where it has two slopes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from standin_ops import normal, not_compiled, ops

pytestmark = not_compiled


def slope(image, y, x, axis):
    """mmcv's ``get_coordinate_weight``: the slope of the value along y (0) or x (1)."""
    height, width = image.shape
    if y <= -1 or y >= height or x <= -1 or x >= width:
        return 0.0
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in np.ndindex(2, 2):
        if 0 <= top + row < height and 0 <= left + column < width:
            side, other, fraction = ((row, column, x - left), (column, row, y - top))[axis]
            weight = fraction if other else 1 - fraction
            total += (1 if side else -1) * weight * float(image[top + row, left + column])
    return total


def slow_offset_gradient(x, offset, mask, weight, grad, stride, padding, dilation, deform_groups):
    channels, (kernel_h, kernel_w), (height, width) = x.shape[1], weight.shape[2:], grad.shape[2:]
    columns = torch.einsum('boyx,ocij->bcijyx', grad, weight)
    shape = (len(x), deform_groups, kernel_h * kernel_w, 2, height, width)
    offset, found = offset.view(shape), torch.zeros(shape, dtype=x.dtype)
    mask = (
        torch.ones_like(offset[:, :, :, 0]) if mask is None else mask.view(offset[:, :, :, 0].shape)
    )
    for b, c, i, j, row, column, axis in np.ndindex(*columns.shape, 2):
        place = (b, c // (channels // deform_groups), i * kernel_w + j)
        y = row * stride[0] - padding[0] + i * dilation[0] + float(offset[(*place, 0, row, column)])
        x_ = column * stride[1] - padding[1] + j * dilation[1]
        x_ += float(offset[(*place, 1, row, column)])
        found[(*place, axis, row, column)] += (
            slope(x[b, c], y, x_, axis)
            * columns[b, c, i, j, row, column]
            * mask[(*place, row, column)]
        )
    return found.flatten(1, 3)


GEOMETRIES = [
    ((3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 2), (2, 1), (2, 1), (1, 2), 2),
    ((2, 3), (1, 2), (0, 3), (2, 1), 1),
]


@pytest.mark.parametrize('kernel, stride, padding, dilation, deform_groups', GEOMETRIES)
@pytest.mark.parametrize('offsets', ['zero', 'whole', 'halves'])
def test_slope_of_offsets_is_that_of_mmcv(
    kernel, stride, padding, dilation, deform_groups, offsets
):
    x, weight = normal(1, 2, 4, 3), normal(2, 2, *kernel, seed=1)
    size = F.conv2d(x, weight, None, stride, padding, dilation).shape[2:]
    places = deform_groups * kernel[0] * kernel[1]
    unit = {'zero': 0, 'whole': 1, 'halves': 0.5}[offsets]
    offset = (normal(1, 2 * places, *size, seed=2) * 2).round() * unit
    mask, grad = normal(1, places, *size, seed=3), normal(1, 2, *size, seed=4)
    geometry = (stride, padding, dilation)
    moved = offset.clone().requires_grad_()
    modulated = ops.modulated_deform_conv2d(
        x, moved, mask, weight, None, *geometry, 1, deform_groups
    )
    first = ops.deform_conv2d(x, moved, weight, *geometry, 1, deform_groups)
    for output, factor in ((modulated, mask), (first, None)):
        expected = slow_offset_gradient(x, offset, factor, weight, grad, *geometry, deform_groups)
        torch.testing.assert_close(torch.autograd.grad(output, moved, grad)[0], expected)


def test_padding_of_a_fresh_layer_has_no_slope():
    """By hand: one row (2, 5) with a column of padding on each side, a kernel of one pixel."""
    x, offset = torch.tensor([[[[2.0, 5]]]]), torch.zeros(1, 2, 1, 4, requires_grad=True)
    ops.deform_conv2d(x, offset, torch.ones(1, 1, 1, 1), 1, (0, 1)).sum().backward()
    # Towards larger x: 0 before the row, 5 - 2, 0 - 5, 0 behind it. Towards larger y: minus the
    # value, because there is 0 below.
    assert offset.grad[0, 1, 0].tolist() == [0, 3, -5, 0]
    assert offset.grad[0, 0, 0].tolist() == [0, -2, -5, 0]
