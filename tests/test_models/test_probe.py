"""What the check at build refuses of models that the libraries can train, and what it does not."""

import logging
import re

import numpy as np
import pytest
import torch
from bad_input import model_error
from conftest import build_model
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from allinone.errors import ConfigError
from allinone.models.probe import check_tasks, probe_sizes
from allinone.models.shared_backbone import SharedBackbone, built_around
from allinone.registry import MODELS
from allinone.tasks.detection import Detection
from allinone.tasks.probe import check_strides

BACKBONE = dict(type='mmpretrain.MobileNetV2', widen_factor=0.25, out_indices=(1, 2, 4, 6))
CHANNELS = [8, 8, 24, 80]
FPN = dict(type='FPN', in_channels=CHANNELS, out_channels=16, num_outs=4)


def built(backbone=BACKBONE, **tasks):
    cfg = dict(type='AllInOne', backbone=backbone, tasks=tasks)
    return build_model(ConfigDict(model=cfg))


def refusal(**tasks):
    return model_error(ConfigDict(model=dict(type='AllInOne', backbone=BACKBONE, tasks=tasks)))


def sparse_rcnn(**extractor):
    """Wants annotations in its ``'tensor'`` mode."""
    return dict(
        type='mmdet.SparseRCNN',
        neck=FPN,
        rpn_head=dict(type='EmbeddingRPNHead', num_proposals=5, proposal_feature_channel=16),
        roi_head=dict(
            type='SparseRoIHead',
            num_stages=1,
            stage_loss_weights=[1],
            proposal_feature_channel=16,
            bbox_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=2),
                out_channels=16,
                featmap_strides=[4, 8, 16, 32],
            ),
            bbox_head=[
                dict(
                    type='DIIHead',
                    num_classes=3,
                    num_heads=2,
                    num_reg_fcs=1,
                    feedforward_channels=16,
                    in_channels=16,
                    dynamic_conv_cfg=dict(
                        type='DynamicConv',
                        in_channels=16,
                        feat_channels=4,
                        out_channels=16,
                        input_feat_shape=2,
                        norm_cfg=dict(type='LN'),
                    ),
                )
            ],
        ),
        test_cfg=dict(rpn=None, rcnn=dict(max_per_img=5)),
    )


def fast_rcnn():
    """Predicts only with proposals, which its data set has."""
    return dict(
        type='mmdet.FastRCNN',
        neck=FPN,
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=0),
                out_channels=16,
                featmap_strides=[4, 8, 16, 32],
            ),
            bbox_head=dict(
                type='Shared2FCBBoxHead',
                in_channels=16,
                fc_out_channels=16,
                roi_feat_size=2,
                num_classes=3,
                bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            ),
        ),
        train_cfg=None,
        test_cfg=dict(rcnn=dict(score_thr=0.05, nms=dict(type='nms'), max_per_img=5)),
    )


def lraspp(size):
    """Pools over 49 x 49 places, of a map of stride 8."""
    return dict(
        type='mmseg.EncoderDecoder',
        feature_indices=(0, 0, 1),
        data_preprocessor=dict(type='SegDataPreProcessor', size=size),
        decode_head=dict(
            type='LRASPPHead',
            in_channels=(8, 8, 8),
            in_index=(0, 1, 2),
            branch_channels=(4, 4),
            channels=8,
            num_classes=3,
            input_transform='multiple_select',
        ),
    )


def pidnet():
    """Gives three maps in training mode, and one bare map in evaluation mode."""
    return dict(type='PIDNet', channels=4, ppm_channels=8, num_stem_blocks=1, num_branch_blocks=1)


def pid_segmentor():
    loss = dict(type='CrossEntropyLoss')
    return dict(
        type='EncoderDecoder',
        decode_head=dict(
            type='PIDHead',
            in_channels=16,
            channels=8,
            num_classes=3,
            norm_cfg=dict(type='BN'),
            loss_decode=[loss, loss, dict(type='BoundaryLoss'), loss],
        ),
        test_cfg=dict(mode='whole'),
    )


class OneMap(nn.Module):
    """A backbone with one bare map."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 4, 4)

    def forward(self, x):
        return self.layer(x)


@pytest.fixture
def log(caplog):
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger.name):
        yield caplog
    logger.removeHandler(caplog.handler)


def test_a_head_without_a_tensor_mode_is_checked_by_its_prediction(log):
    model = built(det=sparse_rcnn())
    assert not [text for text in log.messages if 'not checked' in text]
    found = model.eval().predict([torch.zeros(3, 64, 96, dtype=torch.uint8)])['det'][0]
    assert len(found.pred_instances) == 5


def test_a_head_without_a_tensor_mode_that_does_not_fit_is_refused():
    cfg = sparse_rcnn()
    cfg['neck'] = dict(FPN, out_channels=24)
    assert 'model.tasks.det.rpn_head does not fit the maps it gets from its neck' in refusal(
        det=cfg
    )


def test_what_fails_for_missing_proposals_is_logged_and_not_refused(log):
    model = built(det=fast_rcnn())
    text = next(text for text in log.messages if 'not checked' in text)
    assert text.startswith('model.tasks.det fails on a blank 128 x 128 image without annotations')
    with pytest.raises(ConfigError) as error:
        model.eval().predict([torch.zeros(3, 64, 96, dtype=torch.uint8)])
    assert re.match(
        'model.tasks.det: FastRCNN cannot predict these images without a data set: .*proposals',
        str(error.value),
    )


def test_a_pool_larger_than_the_first_image_is_tried_at_the_size_of_training(log):
    model = built(seg=lraspp((448, 400)))
    assert probe_sizes(model) == [128, 448]
    assert not [text for text in log.messages if 'not checked' in text]


def test_without_a_size_of_training_larger_images_are_tried(log):
    cfg = lraspp((448, 400))
    cfg['data_preprocessor'] = dict(type='SegDataPreProcessor', size_divisor=32)
    assert probe_sizes(built(seg=cfg)) == [128, 224, 256, 512]
    assert not [text for text in log.messages if 'not checked' in text]


def test_channels_that_do_not_fit_are_refused_where_the_first_image_is_too_small():
    cfg = lraspp((448, 400))
    cfg['decode_head']['in_channels'] = (8, 16, 8)
    assert 'model.tasks.seg.decode_head has in_channels=(8, 16, 8)' in refusal(seg=cfg)


def test_a_head_that_wants_the_bare_map_gets_it_and_predicts_as_in_its_library():
    task = dict(pid_segmentor(), type='mmseg.EncoderDecoder')
    model = built(dict(pidnet(), type='mmseg.PIDNet'), seg=task).eval()
    with DefaultScope.overwrite_default_scope('mmseg'):
        alone = MODELS.build(ConfigDict(pid_segmentor(), backbone=pidnet(), _scope_='mmseg')).eval()
    alone.backbone.load_state_dict(model.backbone.state_dict())
    alone.decode_head.load_state_dict(model.tasks.seg.decode_head.state_dict())
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found = model.predict_batch(image, ['seg'])['seg']
        right = alone(image, model.kinds['seg'].samples(image, [(64, 96)] * 2), mode='predict')
    for ours, theirs in zip(found, right):
        assert torch.equal(ours.seg_logits.data, theirs.seg_logits.data)


def test_that_head_gets_all_maps_in_training_mode():
    task = dict(pid_segmentor(), type='mmseg.EncoderDecoder')
    model = built(dict(pidnet(), type='mmseg.PIDNet'), seg=task)
    assert model.training
    assert len(model.tasks.seg.backbone(torch.rand(2, 3, 64, 64))) == 3


def test_a_head_that_takes_a_tuple_gets_one_of_a_backbone_with_a_bare_map():
    MODELS.register_module('OneMapOfTheTest', module=OneMap, force=True)
    head = dict(type='FCNHead', in_channels=8, in_index=0, channels=4, num_convs=1, num_classes=3)
    model = built(
        dict(type='OneMapOfTheTest'),
        seg=dict(type='mmseg.EncoderDecoder', decode_head=head, test_cfg=dict(mode='whole')),
    )
    maps = model.eval().tasks.seg.backbone(torch.rand(2, 3, 64, 64))
    assert isinstance(maps, tuple) and maps[0].shape == (2, 8, 16, 16)


def test_an_operator_that_is_not_installed_is_named():
    from mmcv import ops

    try:
        ops.RoIAlign(2, pool_mode='max')(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5))
    except NotImplementedError:
        pass
    else:
        pytest.skip('mmcv has its operators')
    cfg = sparse_rcnn()
    cfg['roi_head']['bbox_roi_extractor']['roi_layer'].update(pool_mode='max')
    text = refusal(det=cfg)
    assert text.startswith("model.tasks.det: mmcv's operator 'roi_align(pool_mode='max')' needs")
    assert 'in_channels' not in text


class Generator:
    def __init__(self, *strides):
        self.prior_generator = self
        self.strides = [(stride, stride) for stride in strides]


def levels(*sizes):
    return [torch.zeros(1, 1, size, size) for size in sizes]


@pytest.mark.parametrize(
    'size, strides, sizes',
    [
        (128, (16, 32, 64, 107, 160, 320), (8, 4, 2, 1, 1, 1)),  # SSDLite of mmdet, made for 320
        (300, (8, 16, 32), (38, 19, 10)),
        (256, (8, 16), (31, 15)),  # without padding
        (128, (8, 256), (16, 1)),
    ],
)
def test_strides_that_are_not_exact_at_this_size_fit(size, strides, sizes):
    check_strides('task', Generator(*strides), levels(*sizes), size)


@pytest.mark.parametrize(
    'size, strides, sizes',
    [
        (128, (8, 16), (32, 16)),
        (128, (8, 16), (16, 16)),
        (128, (8, 16, 32), (16, 8)),
        (128, (64, 128), (2, 2)),
    ],
)
def test_strides_of_other_maps_do_not_fit(size, strides, sizes):
    with pytest.raises(ConfigError, match='^task: its head expects maps at strides'):
        check_strides('task', Generator(*strides), levels(*sizes), size)


def test_the_check_leaves_modes_and_random_numbers_as_they_are():
    model = built(det=sparse_rcnn())
    model.tasks.det.neck.eval()
    before = torch.get_rng_state(), [module.training for module in model.modules()]
    check_tasks(model)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert [module.training for module in model.modules()] == before[1]


def test_models_read_numbers_of_their_backbone_through_the_view():
    backbone = OneMap()
    backbone.num_branch, backbone.init_weights = 3, lambda: None
    with built_around(backbone):
        view = SharedBackbone()
    assert view.num_branch == 3
    assert not hasattr(view, 'init_weights') and not hasattr(view, 'layer')


def test_border_of_a_bare_image_is_that_of_the_test_pipeline_of_centernet():
    from mmdet.datasets.transforms import RandomCenterCropPad

    pad = RandomCenterCropPad(
        ratios=None,
        border=None,
        mean=[0, 0, 0],
        std=[1, 1, 1],
        to_rgb=False,
        test_mode=True,
        test_pad_mode=['logical_or', 31],
    )
    image = np.zeros((95, 127, 3), np.float32)  # of a size that is not padded
    padded = pad.transform(dict(img=image, img_shape=(95, 127)))
    assert padded['img'].shape == image.shape
    sample = Detection().samples(torch.zeros(1, 3, 96, 128), [(95, 127)])[0]
    # Heads read the offsets at the top and at the left; those of odd sizes end a pixel early there.
    assert [sample.border[0], sample.border[2]] == padded['border'][[0, 2]].tolist() == [0, 0]
    assert sample.border == (0, 95, 0, 127)
