"""Masks of point-wise spatial attention against mmcv's loops."""

import numpy as np
import pytest
import torch
from standin_ops import normal, not_compiled, ops
from torch.autograd import gradcheck

pytestmark = not_compiled


def slow_psa_mask(masks, collect, size):
    batch, _, height, width = masks.shape
    output = torch.zeros(batch, height * width, height, width, dtype=masks.dtype)
    for b, i, j, y, x in np.ndindex(batch, *size, height, width):
        row, column = y + i - (size[0] - 1) // 2, x + j - (size[1] - 1) // 2
        if 0 <= row < height and 0 <= column < width:
            value = masks[b, i * size[1] + j, y, x]
            if collect:
                output[b, row * width + column, y, x] = value
            else:
                output[b, y * width + x, row, column] = value
    return output


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
@pytest.mark.parametrize('size', [(3, 5), (2, 4), (7, 5), (9, 1)])
def test_psa_mask(kind, size):
    masks = normal(2, size[0] * size[1], 4, 3)
    layer = ops.PSAMask(kind, size)
    torch.testing.assert_close(layer(masks), slow_psa_mask(masks, kind == 'collect', size))
    gradcheck(layer, masks[:1, :, :3, :2].requires_grad_())


def test_psa_mask_by_hand():
    # One row of two pixels, windows of three: (left, itself, right) of each.
    masks = torch.tensor([[1.0, 2], [3, 4], [5, 6]]).view(1, 3, 1, 2)
    assert ops.PSAMask('collect', (1, 3))(masks).flatten().tolist() == [3, 2, 5, 4]
    assert ops.PSAMask('distribute', (1, 3))(masks).flatten().tolist() == [3, 5, 2, 4]


def test_psa_head_trains():
    from mmengine.registry import DefaultScope
    from mmseg.models.decode_heads import PSAHead

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = PSAHead(
            in_channels=4,
            channels=4,
            num_classes=2,
            in_index=0,
            mask_size=(7, 7),
            psa_type='bi-direction',
            norm_cfg=dict(type='BN'),
        )
    found = head([torch.randn(2, 4, 8, 8)])
    assert found.shape == (2, 2, 8, 8)
    found.square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
