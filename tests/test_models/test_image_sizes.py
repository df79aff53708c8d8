"""Images of a size that the backbone does not take: the sentence names both sizes."""

import pytest
import torch
from bad_input import only
from mmengine.config import ConfigDict
from torch import nn

from allinone.models.image_sizes import explain_size
from allinone.models.shared_backbone import run_backbone
from allinone.registry import MODELS

# Without pad_small_map each map must have a window's places.
SWIN = dict(
    type='mmpretrain.SwinTransformer',
    arch=dict(embed_dims=12, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
    out_indices=(0, 1, 2, 3),
)


@MODELS.register_module()
class PatchesOf14(nn.Module):
    """As timm's vision transformers, which take multiples of their patch."""

    def __init__(self, broken=False):
        super().__init__()
        self.conv, self.broken = nn.Conv2d(3, 4, 14, 14), broken

    def forward(self, x):
        if x.shape[-2] % 14 or x.shape[-1] % 14:
            raise AssertionError('Input height should be divisible by patch size (14).')
        if self.broken:
            raise ValueError('for another reason')
        return (self.conv(x),)


def explained(cfg, height, width, backbone=None):
    backbone = backbone or MODELS.build(cfg)
    backbone.eval()
    with pytest.raises((AssertionError, ValueError)) as error:
        run_backbone(backbone, torch.zeros(1, 3, height, width))
    return explain_size(cfg, error.value)


def test_a_multiple_of_the_patch_is_named():
    sentence = explained(ConfigDict(type='allinone.PatchesOf14'), 200, 300)
    assert sentence.startswith(
        'model.backbone is a PatchesOf14, which takes no images of 200 x 300 pixels (height x '
        'width): AssertionError: Input height should be divisible by patch size (14).; it takes '
        '210 x 308, for example: resize or crop the images, or pad them by pad_size_divisor of '
        'model.data_preprocessor'
    )


def test_the_least_size_of_a_window_is_named():
    sentence = explained(ConfigDict(SWIN), 100, 120)
    assert 'SwinTransformer, which takes no images of 100 x 120 pixels' in sentence
    # The library's own advice stays.
    assert 'pad_small_map=True' in sentence
    assert 'it takes 224 x 224, for example: resize' in sentence


def test_failures_that_are_not_of_the_size_are_left():
    broken = PatchesOf14(broken=True)
    assert explained(ConfigDict(type='allinone.PatchesOf14'), 28, 28, broken) is None
    always = ConfigDict(type='allinone.PatchesOf14', broken=True)
    assert explained(always, 30, 30) is None  # No size passes.
    assert explain_size(ConfigDict(SWIN), ValueError('of a head')) is None


def test_the_dry_run_names_the_sizes(cfg, refused):
    only(cfg, 'seg')
    cfg.model.backbone = SWIN
    cfg.model.tasks.seg.decode_head.update(in_channels=[12, 24, 48, 96])
    sentence = refused()
    assert sentence.startswith(
        'model.tasks.seg: a training step with a batch of 2 fails: model.backbone is a '
        'SwinTransformer, which takes no images of 192 x 256 pixels (height x width): '
        'AssertionError: '
    )
    assert 'it takes 196 x 259, for example: resize' in sentence
