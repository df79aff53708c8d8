"""tools/features.py: maps, parameters and sizes of images of a backbone."""

import pytest
from conftest import ROOT, run_tool

from allinone.config.feature_maps import running_backbone
from allinone.config.input_sizes import size_rule

SWIN = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1])


@pytest.fixture
def listed(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)

    def run(*argv):
        status = run_tool('features', *argv)
        return status, *capsys.readouterr()

    return run


def test_a_base_by_its_name(listed):
    status, text, error = listed('resnet18')
    assert (status, error) == (0, '')
    assert text.splitlines() == [
        'resnet18: mmpretrain.ResNet',
        'parameters  11.2 M',
        'images      any size',
        'weights     resnet18_8xb32_in1k (Apache-2.0 of mmpretrain, no licence of their own)',
        'normalised  mean [123.675, 116.28, 103.53], std [58.395, 57.12, 57.375], RGB',
        'map  channels  stride',
        '  0        64       4',
        '  1       128       8',
        '  2       256      16',
        '  3       512      32',
    ]


def test_a_config_and_a_model_of_torchvision(listed, tmp_path):
    status, text, _ = listed('torchvision:mobilenet_v3_small')
    assert status == 0 and '  3       576      32' in text and 'weights' not in text
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/_base_/backbones/resnet18.py'\n"
        'model = dict(backbone=dict(out_indices=(1, 3)))\n'
    )
    status, text, _ = listed(config)
    assert status == 0 and text.startswith('mine: mmpretrain.ResNet\n')
    assert text.splitlines()[-2:] == ['  0       128       8', '  1       512      32']


def test_a_config_whose_task_does_not_fit(listed, tmp_path):
    bases = f'{ROOT}/configs/_base_'
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = ['{bases}/backbones/vit_s.py', '{bases}/tasks/rtmdet.py']\n"
        'model = dict(tasks=dict(boxes={{_base_.rtmdet}}))\n'
    )
    status, text, error = listed(config)
    assert (status, error) == (0, '') and text.splitlines()[-1] == '  0       384      16'


def test_strides_of_a_model_for_one_size_of_images(listed):
    pytest.importorskip('timm')
    # 14, 7 and 4 places of 224 pixels
    _, text, _ = listed('timm:levit_128s')
    assert [line.split()[-1] for line in text.splitlines()[-3:]] == ['16', '32', '64']


def test_a_model_of_timm_with_the_licence_of_its_weights(listed):
    pytest.importorskip('timm')
    status, text, _ = listed('timm:convnextv2_atto.fcmae')
    assert status == 0
    assert 'weights     licence cc-by-nc-4.0, as timm lists it' in text
    assert text.splitlines()[-4:] == [
        '  0        40       4',
        '  1        80       8',
        '  2       160      16',
        '  3       320      32',
    ]


def test_the_normalisation_of_weights_of_timm(listed, tmp_path):
    pytest.importorskip('timm')
    status, text, _ = listed('timm:vit_tiny_patch16_224.augreg_in21k')
    half = 'mean [127.5, 127.5, 127.5], std [127.5, 127.5, 127.5], RGB'
    assert status == 0 and f'\nnormalised  {half}\n' in text and 'warning' not in text
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/_base_/backbones/timm_vit_s_dinov2.py'\n"
        "model = dict(backbone=dict(model_name='vit_tiny_patch16_224.augreg_in21k'))\n"
    )
    text = listed(config)[1]
    assert '\nnormalised  mean [123.675, 116.28, 103.53], std ' in text
    assert '\nwarning     model.data_preprocessor has mean [123.675, 116.28, 103.53]' in text
    assert f'but the weights of model.backbone expect {half}, as its library lists them' in text


@pytest.mark.parametrize(
    'name, says',
    [
        ('swin_x', "BACKBONE is 'swin_x', which is neither a config file nor in configs/_base_/"),
        ('swin_x', 'do you mean swin_t or'),
        ('torchvision:resnet19', "torchvision:resnet19: model_name is 'resnet19', which torchvis"),
        ('configs/_base_/datasets/coco.py', 'coco.py has no model.backbone with a type'),
    ],
)
def test_what_is_no_backbone_is_refused(listed, name, says):
    status, text, error = listed(name)
    assert (status, text) == (2, '') and error.count('\n') == 1
    assert error.startswith('error: ') and says in error


@pytest.mark.parametrize('argv', [[], ['swin_t', '--table']])
def test_one_of_both_is_named(listed, argv, capsys):
    with pytest.raises(SystemExit):
        listed(*argv)
    assert 'give a BACKBONE, or --table' in capsys.readouterr().err


@pytest.mark.parametrize(
    'cfg, rule',
    [
        (dict(type='mmpretrain.MobileNetV2'), 'any size'),
        # Without padding, the last map needs 7 x 7 places, as 193 pixels give; 16 is a step.
        (dict(type='mmpretrain.SwinTransformer', arch=SWIN), 'any size from 208 on'),
        (dict(type='mmpretrain.VisionTransformer', arch='deit-t', out_type='featmap'), 'any size'),
    ],
)
def test_sizes_of_images(cfg, rule):
    assert size_rule(running_backbone('model.backbone', cfg)[0]) == rule


def test_sizes_of_images_of_transformers_of_timm():
    pytest.importorskip('timm')
    patch = dict(type='TimmBackbone', model_name='vit_small_patch14_dinov2', depth=1)
    assert size_rule(running_backbone('key', patch)[0]) == 'any multiple of 14'
    fixed = dict(type='TimmBackbone', model_name='mixer_s32_224')
    assert size_rule(running_backbone('key', fixed)[0]) == '224 x 224 only'
