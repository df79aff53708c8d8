"""Checkpoints for the backbone alone: of which architecture, with which names and sizes."""

import re

import pytest
import torch
from conftest import build_model
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS

from allinone.checkpoint.backbone_weights import load_backbone, misfit
from allinone.checkpoint.fitting import fit
from allinone.errors import CheckpointError


def built(**cfg):
    return MMENGINE_MODELS.build(ConfigDict(cfg, _scope_='allinone'))


def resnet(depth, kind='mmpretrain.ResNet', **options):
    return built(type=kind, depth=depth, stem_channels=8, base_channels=8, **options)


def convnext(depths=(1, 1, 2, 1), **options):
    arch = dict(depths=list(depths), channels=[8, 8, 16, 16])
    return built(type='mmpretrain.ConvNeXt', arch=arch, **options)


def swin(window=7, depths=(2, 2, 2, 2), **options):
    arch = dict(embed_dims=8, depths=list(depths), num_heads=[1, 2, 2, 2])
    return built(type='mmpretrain.SwinTransformer', arch=arch, window_size=window, **options)


def vit(width=16, layers=2, kind='mmpretrain', **options):
    if kind == 'mmseg':
        sizes = dict(embed_dims=width, num_layers=layers, num_heads=2)
        return built(type='mmseg.VisionTransformer', **sizes, **options)
    arch = dict(embed_dims=width, num_layers=layers, num_heads=2, feedforward_channels=32)
    return built(type='mmpretrain.VisionTransformer', arch=arch, out_type='featmap', **options)


@pytest.mark.parametrize(
    'source, target, says',
    [
        (lambda: resnet(18), lambda: resnet(50), r"'layer1\.0\.conv1\.weight' has the shape"),
        (lambda: resnet(50), lambda: resnet(18), r"'layer1\.0\.conv1\.weight' has the shape"),
        (lambda: resnet(50), lambda: resnet(101), r"'layer3\.6\..*missing.*only 6 blocks"),
        (lambda: resnet(101), lambda: resnet(50), r"'layer3\.6\..*no place.*fewer blocks"),
        (convnext, lambda: convnext((1, 1, 3, 1)), r"'stages\.2\.2\..*only 2 blocks"),
        (lambda: convnext((1, 1, 3, 1)), convnext, r"'stages\.2\.2\..*fewer blocks"),
        (
            convnext,
            lambda: convnext(use_grn=True, layer_scale_init_value=0.0),
            r"'stages\.0\.0\.grn\.gamma' is missing, and 'stages\.0\.0\.gamma' is there instead",
        ),
        (swin, lambda: swin(depths=(2, 2, 4, 2)), r"'stages\.2\.blocks\.2\..*only 2 blocks"),
        (lambda: vit(24), vit, r'has the shape \(.*24\) instead of'),
    ],
)
def test_another_architecture_is_refused_with_the_first_misfit(source, target, says):
    backbone = target()
    assert re.search(says, misfit(backbone, fit(backbone, source().state_dict())))


@pytest.mark.parametrize(
    'source, target',
    [
        (lambda: resnet(50), lambda: resnet(50, kind='mmdet.ResNet')),
        # Fewer stages, and parts that a library adds
        (
            lambda: resnet(50),
            lambda: resnet(
                50, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)
            ),
        ),
        (
            lambda: resnet(50),
            lambda: resnet(
                50,
                kind='mmdet.ResNet',
                plugins=[
                    dict(
                        cfg=dict(type='ContextBlock', ratio=0.25),
                        stages=(False, True, True, True),
                        position='after_conv3',
                    )
                ],
            ),
        ),
        (
            lambda: resnet(50),
            lambda: resnet(
                50,
                kind='mmdet.ResNet',
                dcn=dict(type='DCNv2', deform_groups=1),
                stage_with_dcn=(False, True, True, True),
            ),
        ),
        (
            lambda: resnet(101),
            lambda: resnet(
                101,
                kind='mmdet.DetectoRS_ResNet',
                conv_cfg=dict(type='ConvAWS'),
                sac=dict(type='SAC', use_deform=True),
                stage_with_sac=(False, True, True, True),
            ),
        ),
        (convnext, lambda: convnext(out_indices=(0, 1, 2, 3), gap_before_final_norm=False)),
        (swin, lambda: swin(out_indices=(0, 1, 2, 3))),
        (lambda: swin(7), lambda: swin(4)),
        (lambda: vit(img_size=224), lambda: vit(img_size=96)),
    ],
)
def test_the_same_architecture_with_other_maps_sizes_or_parts_is_taken(source, target):
    backbone = target()
    found = fit(backbone, source().state_dict())
    assert misfit(backbone, found) is None and len(found.weights) > 20


def test_tables_of_windows_are_resized(tmp_path):
    source, backbone = swin(4), swin(2)
    table = source.stages[0].blocks[0].attn.w_msa.relative_position_bias_table
    with torch.no_grad():
        # A plane, which cubic interpolation keeps away from the border.
        rows, columns = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing='ij')
        table.copy_((rows + 10 * columns).reshape(-1, 1))
    found = fit(backbone, source.state_dict())
    name = 'stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    assert name in found.resized and len(found.resized) == 8
    # 3 x 3 places for 7 x 7: the centre stays the centre.
    assert found.weights[name].shape == (9, 1)
    assert found.weights[name][4].item() == pytest.approx(3 + 30, abs=1e-4)


def test_position_embeddings_are_resized_where_a_backbone_does_it_not_itself():
    source, backbone = vit(kind='mmseg', img_size=(64, 64)), vit(kind='mmseg', img_size=(128, 128))
    with torch.no_grad():
        source.pos_embed.normal_(generator=torch.Generator().manual_seed(0))
    found = fit(backbone, source.state_dict())
    assert found.resized == ['pos_embed']
    # The class token keeps its embedding.
    assert torch.equal(found.weights['pos_embed'][:, 0], source.pos_embed[:, 0])
    assert found.weights['pos_embed'].shape == (1, 65, 16)


def test_weights_below_backbone_are_found_without_a_prefix(tmp_path, capsys):
    source, backbone = resnet(18), resnet(18)
    state = {f'backbone.{name}': value for name, value in source.state_dict().items()}
    state['head.fc.weight'] = torch.zeros(3)
    torch.save(dict(state_dict=state), tmp_path / 'classifier.pth')
    load_backbone(backbone, tmp_path / 'classifier.pth', None, 'key')
    assert torch.equal(backbone.conv1.weight, source.conv1.weight)


def test_authors_files_have_it_below_model(tmp_path):
    source, backbone = resnet(18), resnet(18)
    torch.save(dict(model=source.state_dict()), tmp_path / 'authors.pth')
    load_backbone(backbone, tmp_path / 'authors.pth', None, 'key')
    assert torch.equal(backbone.conv1.weight, source.conv1.weight)


def test_a_run_is_refused_with_what_to_do(toy_cfg, tmp_path):
    wider = dict(toy_cfg.model.backbone, widen_factor=1.0)
    torch.save(built(**wider).state_dict(), tmp_path / 'wide.pth')
    path = str(tmp_path / 'wide.pth')
    toy_cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=path)
    with pytest.raises(
        CheckpointError,
        match=r"^model\.backbone\.init_cfg\.checkpoint='.*wide\.pth' is of another architecture "
        r"than model\.backbone: 'conv1\.conv\.weight' has the shape \(32, .*; give .* or take what "
        r'fits of it with load_from=dict\(backbone=',
    ):
        build_model(toy_cfg)
