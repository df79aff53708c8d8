"""Heads whose levels share layers, and groups of parameters."""

import pytest
from conftest import single

from allinone.errors import ConfigError
from allinone.training.run import build_runner

HEAD = dict(
    type='RTMDetSepBNHead',
    num_classes=3,
    in_channels=48,
    feat_channels=48,
    stacked_convs=1,
    share_conv=True,
    pred_kernel_size=1,
    with_objectness=False,
    exp_on_reg=True,
    anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
    bbox_coder=dict(type='DistancePointBBoxCoder'),
    loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
    loss_bbox=dict(type='GIoULoss'),
    norm_cfg=dict(type='GN', num_groups=8),
)


@pytest.fixture
def rtmdet(toy_root, tmp_path):
    cfg = single('det', 'bbox_mAP', tmp_path / 'work')
    det = cfg.model.tasks.det
    det.update(
        type='mmdet.RTMDet',
        use_syncbn=False,
        train_cfg=dict(
            assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
            allowed_border=-1,
            pos_weight=-1,
        ),
    )
    det.bbox_head = HEAD
    return cfg


def test_groups_of_one_parameter_are_refused_with_the_option_that_helps(rtmdet):
    rtmdet.optim_wrapper.paramwise_cfg = dict(norm_decay_mult=0.0)
    runner = build_runner(rtmdet)
    with pytest.raises(ConfigError) as error:
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    first = 'tasks.det.bbox_head.cls_convs.0.0.conv.weight'
    assert str(error.value) == (
        "optim_wrapper.paramwise_cfg is {'norm_decay_mult': 0.0}, which makes a "
        f'group of each parameter, but {first} and {first.replace("convs.0", "convs.1")} are one, '
        'in layers that the head shares; set optim_wrapper.paramwise_cfg.bypass_duplicate=True'
    )


def test_what_the_sentence_says_trains(rtmdet):
    rtmdet.optim_wrapper.paramwise_cfg.bypass_duplicate = True
    runner = build_runner(rtmdet)
    built = runner.build_optim_wrapper(runner.optim_wrapper)
    parameters = [id(p) for group in built.param_groups for p in group['params']]
    assert len(parameters) == len(set(parameters))
    assert {id(parameter) for parameter in runner.model.parameters()} <= set(parameters)
