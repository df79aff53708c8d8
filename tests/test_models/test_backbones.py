"""Backbones of timm and torchvision, and weights in the form of each library."""

import builtins

import pytest
import torch
import torchvision
from conftest import build_model, classification, write_config
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import nn

from allinone.checkpoint.backbone_weights import load_backbone
from allinone.checkpoint.loading import read_checkpoint
from allinone.config.feature_maps import FeatureMap, feature_maps
from allinone.config.loading import load_config
from allinone.errors import CheckpointError, ConfigError
from allinone.models import TimmBackbone, TorchvisionBackbone
from allinone.models.backbones import normalisation
from allinone.models.backbones.library import last_of_each
from allinone.reuse.extract import extract
from allinone.training.start_weights import load_start

SIZE = 64


def built(**cfg):
    backbone = MMENGINE_MODELS.build(ConfigDict(cfg, _scope_='allinone'))
    backbone.eval()  # mmpretrain's return nothing.
    return backbone


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    """A model with random weights and statistics, none of which is the one of its start."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(noise + 0.5 if 'running_var' in name else 0.2 * (noise - 0.4))
    model.eval()
    return model


def outputs_of(model: nn.Module, modules: list[str], image) -> list[torch.Tensor]:
    """What these modules of a model give on an image."""
    found = {}
    for name in modules:
        model.get_submodule(name).register_forward_hook(
            lambda _, inputs, output, name=name: found.setdefault(name, output)
        )
    with torch.no_grad():
        model(image)
    return [found[name] for name in modules]


def image():
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def timm_vit():
    timm = pytest.importorskip('timm')
    source = drawn(timm.create_model('vit_tiny_patch16_224', img_size=SIZE, depth=2))
    with torch.no_grad():
        tokens = source.forward_features(image())[:, 1:]
    maps = [tokens.transpose(1, 2).reshape(1, 192, 4, 4)]
    cfg = dict(type='TimmBackbone', model_name='vit_tiny_patch16_224', img_size=SIZE, depth=2)
    return source.state_dict(), maps, dict(cfg, norm=True)


def timm_convnext():
    timm = pytest.importorskip('timm')
    source = drawn(timm.create_model('convnext_atto'))
    maps = outputs_of(source, [f'stages.{stage}' for stage in range(4)], image())
    return source.state_dict(), maps, dict(type='TimmBackbone', model_name='convnext_atto')


def timm_swin():
    timm = pytest.importorskip('timm')
    name, sizes = 'swin_tiny_patch4_window7_224', dict(embed_dim=24, depths=(2, 2, 2, 2))
    source = drawn(timm.create_model(name, **sizes, strict_img_size=False))
    maps = outputs_of(source, [f'layers.{layer}' for layer in range(4)], image())
    maps = [found.permute(0, 3, 1, 2) for found in maps]
    return source.state_dict(), maps, dict(type='TimmBackbone', model_name=name, **sizes)


def torchvision_resnet50():
    source = drawn(torchvision.models.resnet50())
    maps = outputs_of(source, [f'layer{stage}' for stage in range(1, 5)], image())
    return source.state_dict(), maps, dict(type='TorchvisionBackbone', model_name='resnet50')


def torchvision_resnet50_in_mmpretrain():
    state, maps, _ = torchvision_resnet50()
    return state, maps, dict(type='mmpretrain.ResNet', depth=50, out_indices=(0, 1, 2, 3))


def torchvision_mobilenetv3():
    source = drawn(torchvision.models.mobilenet_v3_small())
    maps = outputs_of(source, [f'features.{layer}' for layer in (1, 3, 8, 12)], image())
    cfg = dict(type='TorchvisionBackbone', model_name='mobilenet_v3_small')
    return source.state_dict(), maps, cfg


def torchvision_swin():
    source = drawn(torchvision.models.swin_t())
    maps = outputs_of(source, [f'features.{layer}' for layer in (1, 3, 5, 7)], image())
    maps = [found.permute(0, 3, 1, 2) for found in maps]
    return source.state_dict(), maps, dict(type='TorchvisionBackbone', model_name='swin_t')


def classifier(backbone: dict, channels: int):
    """A classifier of mmpretrain's own, and its checkpoint as mmpretrain saves it."""
    head = dict(type='LinearClsHead', num_classes=5, in_channels=channels)
    cfg = dict(type='mmpretrain.ImageClassifier', backbone=backbone, head=head)
    source = drawn(MMENGINE_MODELS.build(ConfigDict(cfg, _scope_='mmpretrain')))
    return source, dict(state_dict=source.state_dict(), meta=dict(epoch=1))


def mmpretrain_swin():
    arch = dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8])
    cfg = dict(type='mmpretrain.SwinTransformer', arch=arch, pad_small_map=True)
    source, checkpoint = classifier(cfg, 128)
    with torch.no_grad():
        maps = list(source.backbone(image()))
    return checkpoint, maps, cfg


def mmpretrain_convnext():
    arch = dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32])
    cfg = dict(type='mmpretrain.ConvNeXt', arch=arch, gap_before_final_norm=False)
    source, checkpoint = classifier(cfg, 32)
    with torch.no_grad():
        maps = list(source.backbone(image()))
    return checkpoint, maps, cfg


@pytest.mark.parametrize(
    'case',
    [
        *(timm_vit, timm_convnext, timm_swin),
        *(torchvision_resnet50, torchvision_resnet50_in_mmpretrain),
        *(torchvision_mobilenetv3, torchvision_swin),
        *(mmpretrain_swin, mmpretrain_convnext),
    ],
    ids=lambda case: case.__name__,
)
def test_features_are_those_of_the_library_with_its_checkpoint(case, tmp_path):
    checkpoint, maps, cfg = case()
    torch.save(checkpoint, tmp_path / 'official.pth')
    backbone = built(**cfg)
    load_backbone(backbone, tmp_path / 'official.pth', None, 'init_cfg.checkpoint')
    with torch.no_grad():
        found = backbone(image())
    for one, other in zip(found, maps, strict=True):
        assert one.shape == other.shape and other.abs().max() > 1e-3
        assert (one - other).abs().max() <= 1e-5


def test_a_joint_checkpoint_has_one_level_more_of_names(tmp_path):
    backbone = built(type='TorchvisionBackbone', model_name='resnet18')
    names = set(backbone.state_dict())
    assert {f'model.{name}' for name in torchvision.models.resnet18().state_dict()} > names
    other = drawn(built(type='TorchvisionBackbone', model_name='resnet18'))
    backbone.load_state_dict(other.state_dict())
    assert torch.equal(backbone.model.conv1.weight, other.model.conv1.weight)


def test_a_joint_model_starts_from_a_library_checkpoint(toy_root, tmp_path):
    source = drawn(torchvision.models.mobilenet_v3_small())
    torch.save(source.state_dict(), tmp_path / 'official.pth')
    cfg = classification(tmp_path)
    small = dict(type='TorchvisionBackbone', model_name='mobilenet_v3_small', strides=(4,))
    cfg.model.backbone = small
    cfg.model.tasks.cls.feature_indices = (0,)
    cfg.model.tasks.cls.head.in_channels = 16
    first = build_model(cfg)
    load_start(first, dict(backbone=str(tmp_path / 'official.pth')), {})
    cfg.model.backbone = dict(
        small, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth'))
    )
    second = build_model(cfg)
    for model in (first, second):
        for layer in (0, 1):
            found = model.backbone.model.features[layer].state_dict()
            expected = source.features[layer].state_dict()
            assert all(torch.equal(found[name], expected[name]) for name in expected)
    # Its own checkpoint has the names of its own state dict, and a task of it can be cut out.
    torch.save(dict(state_dict=second.state_dict()), tmp_path / 'joint.pth')
    config = write_config(cfg, tmp_path / 'config.py')
    extract(load_config(config), tmp_path / 'joint.pth', ['cls'], tmp_path / 'out')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['config.py', 'model.pth']
    found = read_checkpoint(tmp_path / 'out/model.pth')['state_dict']
    name = 'backbone.model.features.0.0.weight'
    assert torch.equal(found[name], second.state_dict()[name])


def test_layers_behind_the_last_map_are_left_out():
    cfg = dict(type='TorchvisionBackbone', model_name='mobilenet_v3_small')
    some = built(**cfg, strides=(4, 8))
    assert feature_maps('model.backbone', dict(cfg, strides=(4, 8))) == [
        FeatureMap(0, 16, 4),
        FeatureMap(1, 24, 8),
    ]
    assert [name for name, _ in some.model.features.named_children()] == ['0', '1', '2', '3']
    with torch.no_grad():
        maps = some(image())
    assert [tuple(found.shape) for found in maps] == [(1, 16, 16, 16), (1, 24, 8, 8)]


def test_every_parameter_of_an_adapter_gets_a_gradient():
    backbone = built(type='TorchvisionBackbone', model_name='shufflenet_v2_x0_5').train()
    sum(found.mean() for found in backbone(image().repeat(2, 1, 1, 1))).backward()
    assert [name for name, param in backbone.named_parameters() if param.grad is None] == []


@pytest.mark.parametrize(
    'cls, options, says',
    [
        (TorchvisionBackbone, dict(model_name='resnet51'), r"'resnet51'.*mean 'resnet50' or"),
        (TorchvisionBackbone, dict(model_name='vit_b_16'), r'do not run one after another'),
        (
            TorchvisionBackbone,
            dict(model_name='mobilenet_v3_small', strides=(4, 64)),
            r'no feature map of stride 64; its strides are \[2, 4, 8, 16, 32\]',
        ),
    ],
)
def test_torchvision_backbones_that_cannot_be(cls, options, says):
    with pytest.raises(ConfigError, match=says):
        cls(**options)


@pytest.mark.parametrize(
    'options, says',
    [
        (dict(model_name='vit_bse_patch16_224'), r"does not have; do you mean 'vit_base_patch16_2"),
        (dict(model_name='resnet18', out_indices=(0, 9)), r"'resnet18' has the maps 0 to 4"),
        (
            dict(model_name='vit_tiny_patch16_224.augreg'),
            r"'augreg' of vit_tiny_patch16_224; write 'vit_tiny_patch16_224\.augreg_in21k' or",
        ),
        (dict(model_name='resnet18.nope'), r"no weights 'nope' of resnet18; write 'resnet18\.\w"),
        (dict(model_name='resnet18', pretrained=True), r'pretrained is True.*init_cfg=dict'),
        (dict(model_name='resnet18', dept=3), r"cannot be built by timm.*'dept'"),
    ],
)
def test_timm_backbones_that_cannot_be(options, says):
    pytest.importorskip('timm')
    with pytest.raises(ConfigError, match=says):
        TimmBackbone(**options)


def test_maps_before_stride_4_are_left_out():
    pytest.importorskip('timm')
    backbone = TimmBackbone('resnet18')
    assert backbone.out_indices == [1, 2, 3, 4]  # timm's first map is the stem's, at stride 2.
    assert last_of_each([2, 4, 4, 8]) == (2, 3) and last_of_each([1, 2, 2]) == (0, 2)


def test_another_normalisation_than_that_of_the_weights_is_logged(tmp_path, monkeypatch):
    timm = pytest.importorskip('timm')
    texts = []
    monkeypatch.setattr(normalisation, 'print_log', lambda text, *_, **__: texts.append(text))
    name, sizes = 'vit_tiny_patch16_224', dict(embed_dim=24, depth=1, num_heads=2)
    torch.save(timm.create_model(name, **sizes).state_dict(), tmp_path / 'official.pth')
    cfg = classification(tmp_path)
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth'))
    backbone = dict(type='TimmBackbone', model_name=name, **sizes)
    cfg.model.backbone = dict(backbone, init_cfg=pretrained)
    cfg.model.tasks.cls.feature_indices = (0,)
    cfg.model.tasks.cls.head.in_channels = 24
    half = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)
    for preprocessor, count in ((half, 0), (dict(half, std=[58.395, 57.12, 57.375]), 1)):
        cfg.model.data_preprocessor = preprocessor
        build_model(cfg)
        assert len(texts) == count
    assert texts[0].startswith(
        'model.data_preprocessor has mean [127.5, 127.5, 127.5], std [58.395, 57.12, 57.375], RGB, '
        'but the weights of model.backbone expect mean [127.5, 127.5, 127.5], std [127.5, 127.5'
    )


def test_without_timm_its_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == 'timm':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ConfigError, match=r"pip install 'allinone\[timm\]'"):
        TimmBackbone('resnet18')


def test_transformers_of_timm_take_images_of_any_multiple_of_their_patch():
    pytest.importorskip('timm')
    small = dict(embed_dim=24, depth=2, num_heads=2)
    backbone = built(type='TimmBackbone', model_name='vit_small_patch14_dinov2', **small)
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, 42, 70))[0].shape == (1, 24, 3, 5)


def test_position_embeddings_of_timm_are_resized(tmp_path):
    timm = pytest.importorskip('timm')
    sizes = dict(embed_dim=24, depth=2, num_heads=2)
    name = 'vit_tiny_patch16_224'
    source = drawn(timm.create_model(name, img_size=96, **sizes))
    torch.save(source.state_dict(), tmp_path / 'large.pth')
    backbone = built(type='TimmBackbone', model_name=name, img_size=64, **sizes)
    load_backbone(backbone, tmp_path / 'large.pth', None, 'key')
    expected = timm.layers.resample_abs_pos_embed(
        source.pos_embed, (4, 4), num_prefix_tokens=1, interpolation='bicubic', antialias=True
    )
    assert torch.allclose(backbone.model.pos_embed, expected)


def test_weights_of_another_model_of_timm_are_refused(tmp_path):
    timm = pytest.importorskip('timm')
    sizes = dict(embed_dim=24, num_heads=2)
    torch.save(
        timm.create_model('vit_tiny_patch16_224', depth=3, **sizes).state_dict(),
        tmp_path / 'deeper.pth',
    )
    backbone = built(type='TimmBackbone', model_name='vit_tiny_patch16_224', depth=4, **sizes)
    with pytest.raises(CheckpointError, match=r"'model\.blocks\.3\.norm1\.weight' is missing"):
        load_backbone(backbone, tmp_path / 'deeper.pth', None, 'key')
