"""Bases of tasks have the values of the upstream recipe that they name."""

import re
from functools import cache

import pytest
import sweep_configs
import zoo_configs
from mmengine.config import Config, ConfigDict

from allinone.config.feature_maps import FeatureMap
from allinone.registry.kinds import kind_of_config

RESNET50 = [FeatureMap(i, 256 * 2**i, 4 * 2**i) for i in range(4)]
# Not of the task: the backbone, its normalisation, and what follows from data and training
OUTSIDE = 'backbone|pretrained|data_preprocessor|init_cfg|num_classes|class_weight|feature_indices'
NORM = r'norm_cfg\.(type|requires_grad|momentum|eps|num_groups)'
DIFFERENT = dict(
    linear_cls='head.topk',  # Of a training metric
    # The shared backbone gives the maps from stride 8 on, of which the upstream neck skips one.
    fcos=r'neck\.(start_level|in_channels)|bbox_head\.dcn_on_last_conv',
    retinanet=r'neck\.(start_level|in_channels)',
    atss=r'neck\.(start_level|in_channels)',
    gfl=r'neck\.(start_level|in_channels)',
    rtmdet='use_syncbn|neck.in_channels',
    yolox='neck.in_channels',
    # A default, which the wiring reads
    dino='num_feature_levels',
    deeplabv3plus=r'decode_head\.dilations',
    segformer=r'decode_head\.in_channels',
    # Defaults written out
    mask2former=r'.*(im2col_step|init_cfg|\.attn_drop|\.proj_drop|self_attn_cfg\.norm_cfg)',
)
MMDET = dict(
    fcos='fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco',
    retinanet='retinanet/retinanet_r50_fpn_1x_coco',
    atss='atss/atss_r50_fpn_1x_coco',
    gfl='gfl/gfl_r50_fpn_1x_coco',
    rtmdet='rtmdet/rtmdet_l_8xb32-300e_coco',
    yolox='yolox/yolox_l_8xb8-300e_coco',
    faster_rcnn='faster_rcnn/faster-rcnn_r50_fpn_1x_coco',
    mask_rcnn='mask_rcnn/mask-rcnn_r50_fpn_1x_coco',
    deformable_detr='deformable_detr/deformable-detr_r50_16xb2-50e_coco',
    dino='dino/dino-4scale_r50_8xb2-12e_coco',
)
MMSEG = dict(
    fcn='_base_/models/fcn_r50-d8',
    pspnet='_base_/models/pspnet_r50-d8',
    deeplabv3plus='_base_/models/deeplabv3plus_r50-d8',
    upernet='_base_/models/upernet_r50',
    segformer='_base_/models/segformer_mit-b0',
    mask2former='mask2former/mask2former_r50_8xb2-160k_ade20k-512x512',
)
UPSTREAM = {
    **{name: ('mmdet', path) for name, path in MMDET.items()},
    **{name: ('mmseg', path) for name, path in MMSEG.items()},
    'linear_cls': ('mmpretrain', '_base_/models/resnet50'),
}


def leaves(part, path=''):
    if isinstance(part, dict) and part:
        for key, value in part.items():
            yield from leaves(value, f'{path}.{key}')
    elif isinstance(part, (list, tuple)) and any(isinstance(value, dict) for value in part):
        for number, value in enumerate(part):
            yield from leaves(value, f'{path}.{number}')
    else:
        yield path[1:], list(part) if isinstance(part, tuple) else part


@cache
def base(name):
    return Config.fromfile(zoo_configs.TASKS / f'{name}.py')


def wired(cfg, maps):
    cfg = ConfigDict(cfg)
    kind_of_config('model.tasks.task', cfg).wire('model.tasks.task', cfg, lambda: maps)
    return cfg


def test_each_base_names_its_upstream_recipe():
    # mmpretrain has labels of several classes on vectors of a VGG alone, and no BNNeck.
    assert {*UPSTREAM, 'multi_label', 'embedding'} == set(zoo_configs.heads())


@pytest.mark.parametrize('name', UPSTREAM)
def test_a_base_is_the_upstream_recipe(name):
    library, path = UPSTREAM[name]
    root = sweep_configs.config_root(library)
    theirs = dict(leaves(Config.fromfile(root / f'{path}.py').model))
    ours = dict(leaves(wired(base(name)[name], RESNET50)))
    ours['type'] = ours['type'].removeprefix(f'{library}.')
    left_out = re.compile(rf'(.*\.)?({OUTSIDE})(\..*)?$|.*{NORM}$|({DIFFERENT.get(name, "-")})$')
    differing = {
        key: (ours.get(key, 'absent'), theirs.get(key, 'absent'))
        for key in ours.keys() | theirs.keys()
        if ours.get(key, 'absent') != theirs.get(key, 'absent') and not left_out.match(key)
    }
    assert not differing
