"""The feature pyramid of plain vision transformers, and weights of other image sizes."""

import pytest
import torch
from mmpretrain.models import ViTSAM

from allinone.checkpoint.loading import load_weights
from allinone.errors import ConfigError
from allinone.models import SimpleFeaturePyramid


def test_maps_of_all_sizes_come_of_the_last_one():
    neck = SimpleFeaturePyramid(16, 8, num_extra=1)
    first, last = torch.randn(2, 16, 4, 6), torch.randn(2, 16, 4, 6, requires_grad=True)
    maps = neck([first, last])
    assert [tuple(level.shape) for level in maps] == [
        (2, 8, 16, 24),
        (2, 8, 8, 12),
        (2, 8, 4, 6),
        (2, 8, 2, 3),
        (2, 8, 1, 2),
    ]
    assert torch.equal(maps[4], maps[3][..., ::2, ::2])
    sum(level.sum() for level in maps[:4]).backward()
    assert all(parameter.grad is not None for parameter in neck.parameters())


def test_a_size_that_it_does_not_make_is_refused():
    with pytest.raises(ConfigError, match=r'scales has 3; give some of \[4, 2, 1, 0.5\]'):
        SimpleFeaturePyramid(16, 8, scales=(2, 3))


def test_weights_of_another_image_size_are_fitted_as_the_backbone_itself_does(tmp_path):
    arch = dict(
        embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=8, global_attn_indexes=[1]
    )
    large, small = (ViTSAM(arch, img_size=size, out_channels=0) for size in (128, 64))
    large.init_weights()
    torch.save({f'backbone.{k}': v for k, v in large.state_dict().items()}, tmp_path / 'vit.pth')
    load_weights(small, tmp_path / 'vit.pth', prefix='backbone')
    upstream = ViTSAM(arch, img_size=64, out_channels=0)
    upstream.load_state_dict(large.state_dict())
    for name, value in upstream.state_dict().items():
        assert torch.equal(small.state_dict()[name], value), name
    assert small.pos_embed.shape[1] == 4 and small.pos_embed.abs().sum() > 0
