"""CARAFE against the loop over output pixels of its definition."""

import numpy as np
import pytest
import torch
from standin_ops import normal, not_compiled, ops
from torch.autograd import gradcheck

pytestmark = not_compiled


def slow_carafe(features, masks, kernel, groups, scale):
    batch, channels, height, width = features.shape
    output = torch.zeros(batch, channels, height * scale, width * scale, dtype=features.dtype)
    for b, c, y, x, i, j in np.ndindex(*output.shape, kernel, kernel):
        row, column = y // scale + i - kernel // 2, x // scale + j - kernel // 2
        if 0 <= row < height and 0 <= column < width:
            group = c // (channels // groups)
            weight = masks[b, (group * kernel + i) * kernel + j, y, x]
            output[b, c, y, x] += features[b, c, row, column] * weight
    return output


@pytest.mark.parametrize('kernel, groups, scale', [(3, 2, 2), (5, 1, 3), (1, 1, 2), (3, 4, 1)])
def test_carafe_and_its_naive_form(kernel, groups, scale):
    features = normal(2, 4, 3, 2)
    masks = normal(2, groups * kernel**2, 3 * scale, 2 * scale, seed=1)
    expected = slow_carafe(features, masks, kernel, groups, scale)
    for function in (ops.carafe, ops.carafe_naive):
        torch.testing.assert_close(function(features, masks, kernel, groups, scale), expected)


def test_carafe_by_hand():
    features = torch.tensor([[[[1.0, 2], [3, 4]]]])
    # Output pixels copy the feature to the right, which is 0 beyond the last column.
    masks = torch.zeros(1, 9, 4, 4)
    masks[:, 5] = 1
    rows = [[2, 2, 0, 0], [2, 2, 0, 0], [4, 4, 0, 0], [4, 4, 0, 0]]
    assert ops.carafe(features, masks, 3, 1, 2).tolist() == [[rows]]


def test_gradients():
    features, masks = normal(1, 4, 2, 2), normal(1, 18, 4, 4, seed=1)
    for memory in (torch.contiguous_format, torch.channels_last):
        inputs = [t.to(memory_format=memory).requires_grad_() for t in (features, masks)]
        gradcheck(lambda *a: ops.carafe(*a, 3, 2, 2), inputs)


def test_16_bit_floats_are_rounded_results_of_float32():
    features, masks = normal(1, 4, 3, 3).bfloat16(), normal(1, 25, 6, 6, seed=1).bfloat16()
    wide = ops.carafe(features.float(), masks.float(), 5, 1, 2)
    torch.testing.assert_close(ops.carafe(features, masks, 5, 1, 2), wide.bfloat16())


def test_fpn_carafe_trains():
    from mmdet.models.necks import FPN_CARAFE

    torch.manual_seed(0)
    neck = FPN_CARAFE([4, 8], 4, 2, start_level=0)
    maps = neck((torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4)))
    assert [tuple(level.shape) for level in maps] == [(1, 4, 8, 8), (1, 4, 4, 4)]
    sum(level.square().sum() for level in maps).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
