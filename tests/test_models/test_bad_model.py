"""Model configs with misspelt parts, or whose parts do not fit each other."""

import re

import pytest
from bad_input import model_error, put, without


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('model.balancer', dict(type='FixdWeights')),
            r"^model.balancer.type is 'FixdWeights'; the choices are \[.*'FixedWeights'",
        ),
        (
            put('model.balancer', dict(type='FixedWeights', weight=[1, 1, 1])),
            r"^model.balancer.weight is \[1, 1, 1\], but FixedWeights has no such option; .*'weights'",
        ),
        (
            put('model.tasks.cls.haed', {}),
            "^model.tasks.cls has no key 'haed'; do you mean 'head'[?]$",
        ),
        (
            put('model.tasks.det.bbox_hed', {}),
            "^model.tasks.det has no key 'bbox_hed'; do you mean 'bbox_head'[?]$",
        ),
        (
            put('model.tasks.det.bbox_head.stacked_conv', 1),
            "^model.tasks.det.bbox_head has no key 'stacked_conv'; do you mean 'stacked_convs'[?]$",
        ),
        (
            put('model.tasks.cls.head.num_clases', 8),
            "^model.tasks.cls.head has no key 'num_clases'; do you mean 'num_classes'[?]$",
        ),
        (
            put('model.tasks.seg.data_preprocessor.size_divsor', 8),
            "^model.tasks.seg.data_preprocessor has no key 'size_divsor'; do you mean 'size_div",
        ),
        (
            put('model.tasks.cls.head.type', 'LinearHead'),
            "^model.tasks.cls.head.type is 'LinearHead', which no model of mmpretrain is; do you mean",
        ),
        (
            put('model.tasks.det.type', 'mmdet.FCSO'),
            "^model.tasks.det.type is 'mmdet.FCSO', which no model of mmdet is; do you mean 'mmdet.FCOS'",
        ),
        (
            put('model.tasks.cls.head.loss.type', 'Zebra'),
            "^model.tasks.cls.head.loss.type is 'Zebra', .*; check its spelling, or import",
        ),
        (
            put('model.backbone.widen_facto', 1),
            "^model.backbone has no key 'widen_facto'; do you mean 'widen_f",
        ),
        (
            put('model.data_preprocessor.maen', [0, 0, 0]),
            "^model.data_preprocessor has no key 'maen'; do you mean 'mean'[?]$",
        ),
        (
            without('model.tasks.cls.head.in_channels'),
            "^model.tasks.cls cannot be built: TypeError: .* argument: 'in_channels'$",
        ),
        (
            put('model.tasks.cls.type', 'ImageClassifier'),
            "^model.tasks.cls.type is 'ImageClassifier'; name the library",
        ),
    ],
)
def test_misspelt_parts_of_the_model_are_named(cfg, change, says):
    change(cfg)
    assert re.search(says, model_error(cfg))


@pytest.mark.parametrize('features', [2, 'abc', (1.5,), ('0',), {}])
def test_features_that_are_no_numbers_of_maps(cfg, features):
    cfg.model.tasks.cls.feature_indices = features
    assert re.search(
        rf'^model.tasks.cls: feature_indices is {re.escape(repr(features))}; give .*, as in \(',
        model_error(cfg),
    )


@pytest.mark.parametrize('features', [(9,), (0, -1)])
def test_features_out_of_range(cfg, features):
    cfg.model.tasks.cls.feature_indices = features
    assert re.search(
        rf'^model.tasks.cls.feature_indices is {re.escape(str(features))}, but {features[-1]} is out of '
        r'range: model.backbone gives \d maps \(0: 16 channels at stride 4, ',
        model_error(cfg),
    )


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('model.tasks.det.neck.in_channels', [16, 64, 160]),
            'model.tasks.det.neck has in_channels=[16, 64, 160] and does not fit the maps it gets from '
            'the backbone (0: 16 channels at stride 8, 1: 48 channels at stride 16, 2: 160 channels',
        ),
        (
            put('model.tasks.det.neck.in_channels', [16, 48]),
            'model.tasks.det.neck has in_channels=[16, 48] and does not fit',
        ),
        (
            put('model.tasks.det.bbox_head.in_channels', 32),
            'model.tasks.det.bbox_head has in_channels=32 and does not fit the maps it gets from its '
            'neck (0: 48 channels at stride 8',
        ),
        (
            put('model.tasks.cls.head.in_channels', 128),
            'model.tasks.cls.head has in_channels=128 and does not fit the maps it gets from its neck '
            '(0: shape (1, ',
        ),
        (
            put('model.tasks.seg.decode_head.in_channels', [16, 16, 48, 96]),
            'model.tasks.seg.decode_head has in_channels=[16, 16, 48, 96] and does not fit the maps it '
            'gets from the backbone',
        ),
        (
            put(
                'model.tasks.seg.auxiliary_head',
                dict(type='FCNHead', in_channels=64, in_index=2, channels=8, num_classes=7),
            ),
            'model.tasks.seg.auxiliary_head has in_channels=64',
        ),
        (
            put('model.tasks.det.bbox_head.strides', [4, 8, 16]),
            'model.tasks.det: its head expects maps at strides [4, 8, 16], but its neck gives strides '
            '[8, 16, 32]',
        ),
        (
            put('model.tasks.det.neck.num_outs', 4),
            'model.tasks.det: its head expects maps at strides [8, 16, 32], but its neck gives strides '
            '[8, 16, 32, 64]',
        ),
    ],
)
def test_channels_and_strides_that_do_not_fit_the_backbone(cfg, change, says):
    change(cfg)
    assert says in model_error(cfg)


def test_the_program_refuses_features_that_do_not_fit(cfg, refused):
    cfg.model.tasks.det.feature_indices = (0, 1, 2)
    text = refused()
    assert 'model.tasks.det.neck has in_channels=[16, 48, 160]' in text
    assert 'model.tasks.det.feature_indices' in text
