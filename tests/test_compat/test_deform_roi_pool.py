"""Deformable RoI pooling against a port of mmcv's kernels, one sample after another."""

import math

import numpy as np
import pytest
import torch
from standin_ops import normal, not_compiled, ops
from torch.autograd import gradcheck

pytestmark = not_compiled

ROIS = torch.tensor(
    [
        [0, 1.3, 2.1, 9.7, 12.4],
        [1, -6.2, -4.4, 3.9, 7.5],
        [1, 8.0, 6.0, 16.0, 14.0],
        [0, 3.0, 3.0, 3.4, 3.2],
        [0, 9.0, 4.0, 2.0, 8.0],
    ],
    dtype=torch.float64,
)


def slow_pool(features, rois, offset, grad, pooled, scale, ratio, gamma):
    """Returns the output and the gradients of the features and of the offset."""
    height, width = features.shape[2:]
    output = torch.zeros(len(rois), features.shape[1], *pooled, dtype=features.dtype)
    grad_features = torch.zeros_like(features)
    grad_offset = torch.zeros(len(rois), 2, *pooled, dtype=features.dtype)
    for r, c, i, j in np.ndindex(*output.shape):
        batch = int(rois[r, 0])
        x1, y1, x2, y2 = (rois[r, 1:] * scale - 0.5).tolist()
        size_y, size_x = y2 - y1, x2 - x1
        count_y = ratio or math.ceil(size_y / pooled[0])
        count_x = ratio or math.ceil(size_x / pooled[1])
        if offset is not None:
            x1 += gamma * size_x * float(offset[r, 0, i, j])
            y1 += gamma * size_y * float(offset[r, 1, i, j])
        image, image_grad = features[batch, c], grad_features[batch, c]
        for a, b in np.ndindex(max(count_y, 0), max(count_x, 0)):
            y = y1 + (i + (a + 0.5) / count_y) * size_y / pooled[0]
            x = x1 + (j + (b + 0.5) / count_x) * size_x / pooled[1]
            if not (-1 <= y <= height and -1 <= x <= width):
                continue
            near_y, near_x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            top, left = int(near_y), int(near_x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            below, beside = near_y - top, near_x - left
            share = float(grad[r, c, i, j]) / (count_y * count_x)
            for row, part_y in ((top, 1 - below), (bottom, below)):
                for column, part_x in ((left, 1 - beside), (right, beside)):
                    output[r, c, i, j] += image[row, column] * part_y * part_x / (count_y * count_x)
                    image_grad[row, column] += part_y * part_x * share
            grad_offset[r, 0, i, j] += (
                gamma
                * size_x
                * share
                * (
                    image[bottom, right] * (y - top)
                    + image[top, right] * (bottom - y)
                    + image[bottom, left] * (top - y)
                    + image[top, left] * (y - bottom)
                )
            )
            grad_offset[r, 1, i, j] += (
                gamma
                * size_y
                * share
                * (
                    image[bottom, right] * (x - left)
                    + image[bottom, left] * (right - x)
                    + image[top, right] * (left - x)
                    + image[top, left] * (x - right)
                )
            )
    return output, grad_features, grad_offset


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('moved', [True, False])
def test_deform_roi_pool(ratio, moved):
    features = normal(2, 2, 7, 6).requires_grad_()
    offset = (normal(5, 2, 3, 2, seed=1) * 2).requires_grad_() if moved else None
    grad = normal(5, 2, 3, 2, seed=2)
    arguments = ((3, 2), 0.5, ratio, 0.3)
    expected = slow_pool(
        features.detach(), ROIS, None if offset is None else offset.detach(), grad, *arguments
    )
    found = ops.deform_roi_pool(features, ROIS, offset, *arguments)
    inputs = (features, offset) if moved else (features,)
    torch.testing.assert_close(
        (found, *torch.autograd.grad(found, inputs, grad)), expected[: 1 + len(inputs)]
    )


def test_without_offsets_it_is_roi_align():
    features = normal(2, 3, 7, 6)
    pooled = ops.deform_roi_pool(features, ROIS[:4], None, (3, 2), 0.5, 0, 0.1)
    torch.testing.assert_close(pooled, ops.roi_align(features, ROIS[:4], (3, 2), 0.5))


def test_gradients_inside_of_the_map():
    features, rois = normal(1, 2, 8, 8), torch.tensor([[0, 2.1, 2.2, 5.3, 5.4]]).double()
    inputs = (features.requires_grad_(), (normal(1, 2, 2, 2, seed=1) / 3).requires_grad_())
    gradcheck(lambda x, o: ops.deform_roi_pool(x, rois, o, (2, 2), 1.0, 2, 0.1), inputs)


def test_no_regions_and_numbers_that_are_not_finite():
    features, offset = normal(1, 2, 5, 5).requires_grad_(), torch.full((1, 2, 2, 2), math.nan)
    assert ops.deform_roi_pool(features, ROIS[:0], None, (2, 2)).shape == (0, 2, 2, 2)
    pooled = ops.deform_roi_pool(features, ROIS[:1], offset.double(), (2, 2), 1.0, 0, 0.1)
    assert not pooled.any()
    pooled.sum().backward()
    assert not features.grad.any()
    endless = torch.tensor([[0, 1, 1, math.inf, 3], [0, 1, 1, 3, math.nan]]).double()
    assert not ops.deform_roi_pool(features, endless, None, (2, 2), 1.0, 0, 0.1).any()


@pytest.mark.parametrize('kind', [ops.DeformRoIPoolPack, ops.ModulatedDeformRoIPoolPack])
def test_layers_train(kind):
    torch.manual_seed(0)
    layer = kind((2, 2), 3, deform_fc_channels=8, spatial_scale=0.5)
    features = torch.randn(2, 3, 8, 8, requires_grad=True)
    layer(features, ROIS[:3].float()).square().sum().backward()
    assert features.grad.abs().sum() > 0
    assert layer.offset_fc[-1].bias.grad.abs().sum() > 0
