"""Checkpoints for the backbone alone: of which architecture, with which names and sizes."""

import logging
import re

import pytest
import torch
from conftest import build_model
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import nn
from torchvision.models import vgg16

from allinone.checkpoint.architecture import misfit
from allinone.checkpoint.backbone_weights import load_backbone
from allinone.checkpoint.fitting import fit
from allinone.errors import CheckpointError

SWIN = dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2], extra_norm_every_n_blocks=0)


@pytest.fixture
def logged(tmp_path):
    """The messages of the log so far, whose logger writes to no captured stream."""
    handler, logger = logging.Handler(), MMLogger.get_current_instance()
    texts: list[str] = []
    handler.emit = lambda record: texts.append(record.getMessage())
    logger.addHandler(handler)
    yield lambda: texts
    logger.removeHandler(handler)


def built(**cfg):
    return MMENGINE_MODELS.build(ConfigDict(cfg, _scope_='allinone'))


def without_memory(build, **options):
    with torch.device('meta'):
        return build(**options)


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
        extra = options.pop('pos_embed_tokens', 1)
        backbone = built(type='mmseg.VisionTransformer', **sizes, **options)
        embedding = backbone.pos_embed
        tokens = embedding[:, :1].repeat(1, extra, 1)
        backbone.pos_embed = nn.Parameter(torch.cat([tokens, embedding[:, 1:]], dim=1))
        return backbone
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
        # Another stem
        (
            lambda: resnet(50),
            lambda: resnet(50, kind='mmseg.ResNetV1c'),
            r"'stem\.0\.weight' is missing, and layers behind it are there",
        ),
        (
            lambda: resnet(50, kind='mmseg.ResNetV1c'),
            lambda: resnet(50, kind='mmseg.ResNet'),
            r"'conv1\.weight' is missing, and layers behind it are there",
        ),
        # Parts of blocks that change what these compute
        (
            lambda: resnet(50, kind='mmpretrain.SEResNet', se_ratio=4),
            lambda: resnet(50),
            r"'layer1\.0\.se_layer\..*' has no place, though other layers of its block have",
        ),
        (
            lambda: resnet(50),
            lambda: resnet(50, kind='mmpretrain.SEResNet', se_ratio=4),
            r"^'layer1\.0\.se_layer\.conv1\.conv\.weight' is missing$",
        ),
        (lambda: vit(layer_scale_init_value=1e-5), vit, r"'layers\.0\.attn\.gamma1\..* no place"),
        (vit, lambda: vit(layer_scale_init_value=1e-5), r"'layers\.0\.attn\.gamma1\..* is missing"),
        (lambda: vit(qkv_bias=False), vit, r"^'layers\.0\.attn\.qkv\.bias' is missing$"),
        # The embedding of another extra token
        (
            lambda: vit(kind='mmseg', img_size=(64, 64), pos_embed_tokens=2),
            lambda: vit(kind='mmseg', img_size=(96, 96)),
            r"'pos_embed' has the shape \(1, 18, 16\) instead of \(1, 37, 16\)",
        ),
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
        # Layers of SSD behind those of VGG
        (
            lambda: without_memory(vgg16),
            lambda: without_memory(
                built, type='mmdet.SSDVGG', depth=16, out_feature_indices=(22, 34)
            ),
        ),
        # A scale of 1 changes nothing.
        (vit, lambda: vit(layer_scale_init_value=1.0)),
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


def test_tables_of_masked_autoencoders_are_not_in_their_files():
    sizes = dict(img_size=(64, 64), embed_dims=16, num_layers=2, num_heads=2, mlp_ratio=2)
    backbone = built(type='mmseg.MAE', out_indices=(1,), init_values=1.0, **sizes)
    of_authors = {
        name: value
        for name, value in backbone.state_dict().items()
        if 'gamma_' not in name and 'relative_position' not in name
    }
    for layer in backbone.layers:  # As its init_weights does.
        nn.init.trunc_normal_(layer.attn.relative_position_bias_table, std=0.02)
    found = fit(backbone, of_authors)
    assert len(found.missing) == 8 and misfit(backbone, found) is None


PLUGIN = dict(cfg=dict(type='ContextBlock', ratio=0.25), position='after_conv3')


@pytest.mark.parametrize(
    'options, part',
    [
        (dict(kind='mmdet.ResNet', plugins=[PLUGIN]), '.context_block.'),
        (dict(kind='mmdet.DetectoRS_ResNet', sac=dict(type='SAC', use_deform=True)), '.offset_s.'),
        (dict(kind='mmdet.DetectoRS_ResNet', rfp_inplanes=4), '.rfp_conv.'),
    ],
)
def test_added_parts_may_lack_whatever_their_values_are(options, part):
    """mmdet's ResNet draws their layers too if it names no weights itself."""
    if 'sac' in options:
        options = dict(options, stage_with_sac=(True,) * 4)
    backbone = resnet(50, **options)
    with torch.no_grad():
        changed = [p.fill_(0.5) for name, p in backbone.named_parameters() if part in name]
    assert len(changed) > 3
    assert misfit(backbone, fit(backbone, resnet(50).state_dict())) is None


def test_buffers_that_are_left_in_a_block_are_no_misfit():
    backbone = swin(2)
    state = backbone.state_dict()
    state['stages.0.blocks.1.attn.attn_mask'] = torch.zeros(4, 4, 4)
    assert misfit(backbone, fit(backbone, state)) is None
    state['stages.0.blocks.1.attn.scale'] = torch.zeros(2)
    assert misfit(backbone, fit(backbone, state)).startswith(
        "'stages.0.blocks.1.attn.scale' has no"
    )


def test_a_new_layer_that_ends_in_zeros_may_lack():
    backbone = resnet(18)
    state = backbone.state_dict()
    adapter = nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 8))
    backbone.layer1[0].adapter = adapter
    assert misfit(backbone, fit(backbone, state)) == ("'layer1.0.adapter.0.weight' is missing")
    nn.init.zeros_(adapter[1].weight)
    assert misfit(backbone, fit(backbone, state)) is None


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


def test_tables_with_rows_of_a_class_token_are_resized():
    def beit(size):
        arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)
        return built(
            type='mmpretrain.BEiTViT',
            arch=arch,
            img_size=size,
            patch_size=16,
            out_type='featmap',
            use_abs_pos_emb=False,
            use_rel_pos_bias=True,
        )

    source, backbone = beit(32), beit(64)
    name = 'layers.0.attn.relative_position_bias_table'
    table = source.layers[0].attn.relative_position_bias_table
    with torch.no_grad():
        table.copy_(torch.arange(12.0)[:, None].repeat(1, 2))  # 3 x 3 places and 3 rows
    found = fit(backbone, source.state_dict())
    assert found.resized == [name] and misfit(backbone, found) is None
    assert found.weights[name].shape == (7 * 7 + 3, 2)
    # The centre stays the centre, and the rows of the class token stay last.
    assert found.weights[name][24, 0].item() == pytest.approx(4, abs=1e-4)
    assert found.weights[name][-3:, 1].tolist() == [9, 10, 11]


@pytest.mark.parametrize(
    'source, target, resized',
    [
        (lambda: swin(7), lambda: swin(4), 8),
        (
            lambda: built(type='mmpretrain.SwinTransformerV2', arch=SWIN, window_size=8),
            lambda: built(type='mmpretrain.SwinTransformerV2', arch=SWIN, window_size=4),
            0,
        ),
    ],
)
def test_computed_tables_are_not_reported(source, target, resized, tmp_path, logged):
    backbone = target()
    torch.save(source().state_dict(), tmp_path / 'other.pth')
    load_backbone(backbone, tmp_path / 'other.pth', None, 'key')
    (line,) = [text for text in logged() if 'loaded' in text]
    assert re.search(r'loaded (\d\d+) of \1 tensors of the model', line)
    assert 'of another shape' not in line and 'missing' not in line
    assert (f'{resized} resized: ' in line) == bool(resized)


def test_a_resize_is_logged_once(tmp_path, logged):
    torch.save(vit(img_size=64).state_dict(), tmp_path / 'small.pth')
    load_backbone(vit(img_size=96), tmp_path / 'small.pth', None, 'key')
    assert sum('Resize the pos_embed' in text for text in logged()) == 1
    assert '1 resized: pos_embed' in logged()[-1]


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


@pytest.mark.parametrize('name', ['model', 'model_ema', 'state_dict_ema', 'teacher'])
@pytest.mark.parametrize('start', ['', 'module.backbone.'])
def test_authors_files_have_it_nested(name, start, tmp_path):
    source, backbone = resnet(18), resnet(18)
    state = {f'{start}{key}': value for key, value in source.state_dict().items()}
    torch.save({'epoch': 3, name: state}, tmp_path / 'authors.pth')
    load_backbone(backbone, tmp_path / 'authors.pth', None, 'key')
    assert torch.equal(backbone.conv1.weight, source.conv1.weight)


@pytest.mark.parametrize(
    'start, prefix, says',
    [
        ('image_encoder.trunk.', None, "set prefix='image_encoder.trunk' in init_cfg, below which"),
        ('student.encoder.', 'student', "set prefix='student.encoder' in init_cfg, below which"),
        ('backbone.', 'bakbone', "has no keys below 'bakbone', but below backbone; give one of"),
    ],
)
def test_another_prefix_is_named(start, prefix, says, tmp_path):
    state = {f'{start}{key}': value for key, value in resnet(18).state_dict().items()}
    torch.save(state, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=f'^key=.*other.pth.*{re.escape(says)}'):
        load_backbone(resnet(18), tmp_path / 'other.pth', prefix, 'key')


def test_names_of_another_library_are_refused_with_what_to_do(tmp_path):
    """Though a class token and its embedding have the same names."""
    source = {
        name.replace('layers.', 'blocks.').replace('ln', 'norm').replace('ffn', 'mlp'): value
        for name, value in vit().state_dict().items()
    }
    torch.save(source, tmp_path / 'timm.pth')
    with pytest.raises(
        CheckpointError,
        match=r"^key=.*timm\.pth': 4 of its \d+ keys are of model\.backbone\. It has blocks\.0"
        r'\..*; the backbone has layers\.0\..*; give weights as the library of the backbone '
        r'saves them, or take those of timm by TimmBackbone, those of torchvision by '
        r'TorchvisionBackbone$',
    ):
        load_backbone(vit(), tmp_path / 'timm.pth', None, 'key')


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
