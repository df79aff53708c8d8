"""What tasks leave out of their configs, filled by the backbone's feature maps."""

import pytest
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TASK_UTILS, DefaultScope
from torch import nn

from allinone.config.feature_maps import FeatureMap, feature_maps
from allinone.errors import ConfigError
from allinone.registry.kinds import kind_of_config


def maps_of(*maps):
    return [FeatureMap(number, *found) for number, found in enumerate(maps)]


RESNET = maps_of((64, 4), (128, 8), (256, 16), (512, 32))
# Two maps of one stride; the last one is deeper.
MOBILENET = maps_of((24, 4), (32, 8), (96, 16), (320, 32), (1280, 32))
VIT = maps_of((192, 16), (192, 16))
VIT_LAYERS = maps_of((192, 16), (192, 16), (192, 16), (192, 16))
DILATED = maps_of((256, 4), (512, 8), (1024, 8), (2048, 8))
PATCH_14 = maps_of((384, 14))
VECTOR = maps_of((384, None))


def wire(cfg, maps=RESNET, of_neck=False):
    cfg = ConfigDict(cfg)
    kind = kind_of_config('model.tasks.task', cfg)
    words = kind.wire('model.tasks.task', cfg, lambda: maps, of_neck)
    return cfg, words


def detector(neck, head, **more):
    return dict(type='mmdet.SingleStageDetector', neck=neck, bbox_head=head, **more)


FPN = dict(type='FPN', out_channels=32)
ANCHORS = dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3, ratios=[1.0])
RETINA = dict(type='RetinaHead', num_classes=3, anchor_generator=ANCHORS)


def test_a_one_stage_detector_gets_the_strides_from_8_on():
    cfg, words = wire(detector(FPN, RETINA))
    assert cfg.feature_indices == (1, 2, 3)
    assert cfg.neck.in_channels == [128, 256, 512] and cfg.neck.num_outs == 5
    assert cfg.bbox_head.in_channels == 32
    assert cfg.bbox_head.anchor_generator.strides == [8, 16, 32, 64, 128]
    assert words.startswith('feature_indices [1, 2, 3], neck.in_channels [128, 256, 512]')


def test_of_two_maps_of_one_stride_the_last_is_taken():
    cfg, _ = wire(detector(FPN, RETINA), MOBILENET)
    assert cfg.feature_indices == (1, 2, 4) and cfg.neck.in_channels == [32, 96, 1280]


def test_written_strides_choose_the_maps_and_the_number_of_levels():
    head = dict(RETINA, anchor_generator=dict(ANCHORS, strides=[4, 8, 16]))
    cfg, _ = wire(detector(FPN, head))
    assert cfg.feature_indices == (0, 1, 2) and cfg.neck.num_outs == 3
    assert cfg.bbox_head.anchor_generator.strides == [4, 8, 16]


def test_a_stride_that_the_backbone_has_not_is_refused_with_the_nearest():
    head = dict(RETINA, anchor_generator=dict(ANCHORS, strides=[12, 16, 32]))
    with pytest.raises(ConfigError, match=r'stride 12, of which .* no feature map .*nearest is 8$'):
        wire(detector(FPN, head))


def test_heads_without_anchors_get_strides_where_their_channels_are_left_out():
    head = dict(type='FCOSHead', num_classes=3)
    cfg, _ = wire(detector(FPN, head))
    assert cfg.bbox_head.strides == [8, 16, 32, 64, 128]
    cfg, _ = wire(detector(dict(FPN, in_channels=[128, 256, 512], num_outs=5), dict(
        head, in_channels=32)))  # fmt: skip
    assert 'strides' not in cfg.bbox_head  # mmdet's default stays.


def test_a_neck_that_keeps_the_number_of_its_levels():
    neck = dict(type='CSPNeXtPAFPN', out_channels=96)
    points = dict(type='MlvlPointGenerator', offset=0)
    cfg, _ = wire(detector(neck, dict(type='RTMDetHead', num_classes=3, anchor_generator=points)))
    assert cfg.neck.in_channels == [128, 256, 512] and 'num_outs' not in cfg.neck
    assert cfg.bbox_head.anchor_generator.strides == [8, 16, 32]


def test_written_values_stay_and_nothing_is_asked_of_the_backbone():
    cfg = detector(
        dict(FPN, in_channels=[1, 2], num_outs=2),
        dict(RETINA, in_channels=7, anchor_generator=dict(ANCHORS, strides=[8, 16])),
        feature_indices=(0, 3),
    )
    found = ConfigDict(cfg)
    kind = kind_of_config('model.tasks.task', found)
    assert kind.wire('model.tasks.task', found, lambda: pytest.fail('asked')) == ''
    assert found == ConfigDict(cfg)


def test_auto_is_left_out():
    cfg = detector(
        dict(FPN, in_channels='auto', num_outs='auto', start_level=1),
        dict(RETINA, in_channels='auto', anchor_generator=dict(ANCHORS, strides='auto')),
        feature_indices='auto',
    )
    cfg, _ = wire(cfg)
    # The neck begins behind its first map.
    assert cfg.feature_indices == (0, 1, 2, 3) and cfg.neck.num_outs == 5
    assert cfg.bbox_head.anchor_generator.strides == [8, 16, 32, 64, 128]
    everything = dict(FPN, in_channels=[64, 128], num_outs=2)
    head = dict(RETINA, in_channels=32, anchor_generator=dict(ANCHORS, strides=[4, 8]))
    for auto in ('auto', 'Auto'):
        cfg, words = wire(detector(everything, head, feature_indices=auto))
        assert words == 'feature_indices [0, 1]' and cfg.feature_indices == (0, 1)
    cfg, _ = wire(detector(dict(FPN, in_channels='Auto'), RETINA))
    assert cfg.neck.in_channels == [128, 256, 512]


def test_two_stages_get_stride_4_and_region_features():
    heads = dict(
        rpn_head=dict(type='RPNHead', anchor_generator=dict(type='AnchorGenerator', scales=[8])),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign')),
            bbox_head=dict(type='Shared2FCBBoxHead', num_classes=3),
            mask_roi_extractor=dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign')),
            mask_head=dict(type='FCNMaskHead', num_classes=3),
        ),
    )
    cfg, _ = wire(dict(type='mmdet.MaskRCNN', neck=FPN, **heads))
    assert 'feature_indices' not in cfg  # It uses all.
    assert cfg.neck.in_channels == [64, 128, 256, 512] and cfg.neck.num_outs == 5
    assert cfg.rpn_head.anchor_generator.strides == [4, 8, 16, 32, 64]
    roi = cfg.roi_head
    for extractor in (roi.bbox_roi_extractor, roi.mask_roi_extractor):
        assert extractor.featmap_strides == [4, 8, 16, 32] and extractor.out_channels == 32
    assert roi.bbox_head.in_channels == roi.mask_head.in_channels == 32


@pytest.mark.parametrize('levels, indices, outs', [(4, (1, 2, 3), 4), (5, (0, 1, 2, 3), 5)])
def test_detectors_of_queries_get_as_many_levels_as_they_want(levels, indices, outs):
    neck = dict(type='ChannelMapper', kernel_size=1, out_channels=256)
    cfg = dict(type='mmdet.DINO', num_feature_levels=levels, neck=neck, encoder=dict())
    cfg, _ = wire(dict(cfg, bbox_head=dict(type='DINOHead', num_classes=3)))
    assert cfg.get('feature_indices', (0, 1, 2, 3)) == indices and cfg.neck.num_outs == outs


def test_a_pyramid_of_one_map_for_a_plain_transformer():
    neck = dict(type='SimpleFeaturePyramid', out_channels=32)
    cfg, _ = wire(detector(neck, RETINA), VIT)
    assert cfg.feature_indices == (1,) and cfg.neck.in_channels == 192
    assert cfg.bbox_head.anchor_generator.strides == [4, 8, 16, 32]
    with pytest.raises(ConfigError, match=r'neck is a FPN, which combines .*SimpleFeaturePyramid'):
        wire(detector(FPN, RETINA), VIT)
    with pytest.raises(
        ConfigError, match=r'task needs a feature map with places.*0: 384 channels;'
    ):
        wire(detector(neck, RETINA), VECTOR)


def segmentor(head, **more):
    return dict(type='mmseg.EncoderDecoder', decode_head=head, **more)


def test_a_head_of_one_map_and_its_auxiliary_head():
    head = dict(type='FCNHead', channels=16, num_classes=3)
    cfg, _ = wire(segmentor(head, auxiliary_head=dict(head)))
    assert cfg.decode_head.in_index == 3 and cfg.decode_head.in_channels == 512
    assert cfg.auxiliary_head.in_index == 2 and cfg.auxiliary_head.in_channels == 256


@pytest.mark.parametrize('name', ['UPerHead', 'FPNHead', 'SegformerHead'])
def test_a_head_of_all_strides_gets_one_map_of_each(name):
    cfg, _ = wire(segmentor(dict(type=name, channels=16, num_classes=3)), MOBILENET)
    assert 'feature_indices' not in cfg  # The index selects.
    assert cfg.decode_head.in_index == [0, 1, 2, 4]
    assert cfg.decode_head.in_channels == [24, 32, 96, 1280]
    strides = cfg.decode_head.get('feature_strides')
    assert strides == ([4, 8, 16, 32] if name == 'FPNHead' else None)
    with pytest.raises(ConfigError, match=rf'decode_head is a {name}, which combines maps'):
        wire(segmentor(dict(type=name, channels=16, num_classes=3)), VIT)


def test_a_decoder_that_takes_a_fine_map_too():
    head = dict(type='DepthwiseSeparableASPPHead', channels=16, c1_channels=8, num_classes=3)
    cfg, _ = wire(segmentor(head))
    assert cfg.decode_head.in_channels == 512 and cfg.decode_head.c1_in_channels == 64


def test_masks_of_queries_get_all_maps_with_their_strides():
    head = dict(type='Mask2FormerHead', num_classes=3, pixel_decoder=dict())
    cfg, _ = wire(segmentor(head), MOBILENET)
    assert cfg.decode_head.in_channels == [24, 32, 96, 1280]
    assert cfg.decode_head.strides == [4, 8, 16, 32]


def test_masks_of_queries_want_as_many_maps_as_their_decoder_refines():
    decoder = dict(type='MSDeformAttnPixelDecoder', num_outs=3)
    head = dict(type='Mask2FormerHead', num_classes=3, pixel_decoder=decoder)
    with pytest.raises(ConfigError, match=r'decode_head is a Mask2FormerHead, which combines maps'):
        wire(segmentor(head), VIT)
    with pytest.raises(ConfigError, match=r'panoptic_head is a Mask2FormerHead, which combines'):
        wire(dict(type='mmdet.Mask2Former', panoptic_head=head), VIT)
    neck = dict(type='SimpleFeaturePyramid', out_channels=48)
    cfg, _ = wire(segmentor(head, neck=neck), VIT)
    assert cfg.decode_head.strides == [4, 8, 16, 32]
    one = dict(head, type='MaskFormerHead', pixel_decoder=dict(type='PixelDecoder'))
    cfg, _ = wire(segmentor(one), VIT)  # It refines what it gets.
    assert cfg.decode_head.in_channels == [192]


def test_a_pyramid_before_a_segmentation_head():
    neck = dict(type='SimpleFeaturePyramid', out_channels=48)
    cfg, _ = wire(segmentor(dict(type='UPerHead', channels=16, num_classes=3), neck=neck), VIT)
    assert cfg.neck.in_channels == 192 and cfg.decode_head.in_channels == [48] * 4


def test_a_classifier_takes_the_last_map():
    cfg = dict(
        type='mmpretrain.ImageClassifier',
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3),
    )
    found, _ = wire(cfg, MOBILENET)
    assert found.feature_indices == (4,) and found.head.in_channels == 1280
    found, _ = wire(cfg, VECTOR)
    assert 'feature_indices' not in found and found.head.in_channels == 384


@pytest.mark.parametrize(
    'chosen, says',
    [((1, 7), 'has 7, but the backbone has 4'), ((-1,), 'has -1'), (3, 'is 3; give')],
)
def test_feature_indices_that_the_backbone_has_not_are_refused(chosen, says):
    with pytest.raises(ConfigError, match=rf'^model\.tasks\.task\.feature_indices {says}'):
        wire(detector(FPN, RETINA, feature_indices=chosen))


def strides(cfg):
    return cfg.bbox_head.anchor_generator.strides


def test_levels_that_the_neck_skips_are_below_those_of_the_head():
    skipping = dict(FPN, start_level=1, num_outs=5, add_extra_convs='on_output')
    cfg, _ = wire(detector(skipping, RETINA))
    assert 'feature_indices' not in cfg and strides(cfg) == [8, 16, 32, 64, 128]
    written = dict(RETINA, anchor_generator=dict(ANCHORS, strides=[8, 16, 32, 64, 128]))
    cfg, _ = wire(detector(skipping, written))
    assert 'feature_indices' not in cfg and cfg.neck.in_channels == [64, 128, 256, 512]
    cfg, _ = wire(detector(dict(FPN, end_level=1, num_outs=2), RETINA))
    assert strides(cfg) == [8, 16]


@pytest.mark.parametrize(
    'channels, indices, first', [([64, 128, 256, 512], None, 4), ([128, 256], (1, 2), 8)]
)
def test_written_channels_of_a_neck_choose_its_maps(channels, indices, first):
    cfg, _ = wire(detector(dict(FPN, in_channels=channels, num_outs=5), RETINA))
    assert cfg.get('feature_indices') == indices
    assert strides(cfg) == [first * 2**i for i in range(5)]
    # Also one that is not the last of its stride.
    cfg, _ = wire(detector(dict(FPN, in_channels=[96, 320], num_outs=5), RETINA), MOBILENET)
    assert cfg.feature_indices == (2, 3)


def test_channels_that_no_map_has_are_refused():
    with pytest.raises(ConfigError, match=r'neck fails on .*64 channels at stride 4.* set its in_'):
        wire(detector(dict(FPN, in_channels=[7, 8], num_outs=5), RETINA))


def test_strides_of_a_class_yield_to_a_neck_that_follows_the_backbone():
    head = dict(type='FCOSHead', num_classes=3, in_channels=32)
    cfg, _ = wire(detector(dict(FPN, num_outs=5), head))
    assert cfg.feature_indices == (1, 2, 3) and cfg.bbox_head.strides == [8, 16, 32, 64, 128]


def test_a_stride_that_is_enlarged_is_exact():
    neck = dict(type='SimpleFeaturePyramid', out_channels=32, num_extra=1)
    rpn = dict(type='RPNHead', anchor_generator=dict(type='AnchorGenerator', scales=[8]))
    extractor = dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=7))
    roi = dict(
        type='StandardRoIHead',
        bbox_roi_extractor=extractor,
        bbox_head=dict(type='Shared2FCBBoxHead', num_classes=3),
    )
    cfg, _ = wire(dict(type='mmdet.FasterRCNN', neck=neck, rpn_head=rpn, roi_head=roi), PATCH_14)
    assert cfg.rpn_head.anchor_generator.strides == [3.5, 7, 14, 28, 56]
    assert cfg.roi_head.bbox_roi_extractor.featmap_strides == [3.5, 7, 14, 28]
    # The last place of 148 is as far from the border of a 518 pixel image as the first.
    part = dict(cfg.rpn_head.anchor_generator, type='mmdet.AnchorGenerator', ratios=[1.0])
    priors = TASK_UTILS.build(part).single_level_grid_priors((148, 148), 0, device='cpu')
    assert ((priors[-1, 0] + priors[-1, 2]) / 2).item() == 518 - 518 / 148
    part = dict(cfg.roi_head.bbox_roi_extractor, type='mmdet.SingleRoIExtractor')
    with DefaultScope.overwrite_default_scope('mmdet'):
        layers = MMENGINE_MODELS.build(part).roi_layers
    assert layers[0].spatial_scale == 1 / 3.5


def test_panoptic_masks_without_a_neck_get_all_maps():
    head = dict(type='Mask2FormerHead', num_things_classes=2, pixel_decoder=dict(num_outs=3))
    cfg, _ = wire(dict(type='mmdet.Mask2Former', panoptic_head=head))
    assert 'feature_indices' not in cfg
    assert cfg.panoptic_head.in_channels == [64, 128, 256, 512]
    assert cfg.panoptic_head.strides == [4, 8, 16, 32]
    cfg, _ = wire(dict(type='mmdet.Mask2Former', panoptic_head=head), MOBILENET)
    assert cfg.feature_indices == (0, 1, 2, 4)


def test_necks_of_other_forms():
    yolo = dict(type='YOLOV3Neck', num_scales=3, out_channels=[64, 32, 16])
    anchors = dict(type='YOLOAnchorGenerator', base_sizes=[[(9, 9)]] * 3)
    head = dict(type='YOLOV3Head', num_classes=3, out_channels=[8] * 3, anchor_generator=anchors)
    cfg, _ = wire(dict(type='mmdet.YOLOV3', neck=yolo, bbox_head=head))
    assert cfg.neck.in_channels == [512, 256, 128]  # From the deepest on
    assert cfg.bbox_head.in_channels == [64, 32, 16] and strides(cfg) == [32, 16, 8]
    deconvolution = dict(type='CTResNetNeck', num_deconv_filters=(64, 8), num_deconv_kernels=(4, 4))
    head = dict(type='CenterNetHead', num_classes=3, feat_channels=8)
    cfg, _ = wire(dict(type='mmdet.CenterNet', neck=deconvolution, bbox_head=head))
    assert cfg.neck.in_channels == 512 and cfg.bbox_head.in_channels == 8
    extra = dict(
        type='SSDNeck',
        in_channels=(256, 512),
        out_channels=(256, 512, 64),
        level_strides=(2,),
        level_paddings=(1,),
    )
    anchors = dict(type='SSDAnchorGenerator', input_size=300, ratios=[[2]] * 3)
    head = dict(type='SSDHead', num_classes=3, anchor_generator=anchors)
    cfg, _ = wire(detector(extra, head))
    assert cfg.feature_indices == (2, 3) and cfg.bbox_head.in_channels == [256, 512, 64]
    assert strides(cfg) == [16, 32, 64]
    several = [FPN, dict(type='BFP', in_channels=32, num_levels=5)]
    cfg, _ = wire(detector(several, RETINA))
    assert cfg.neck[0].in_channels == [128, 256, 512] and strides(cfg) == [8, 16, 32, 64, 128]


def test_a_detector_without_a_neck_gets_one_map():
    cfg, _ = wire(detector(None, RETINA))
    assert cfg.feature_indices == (3,) and cfg.bbox_head.in_channels == 512
    written = dict(RETINA, anchor_generator=dict(ANCHORS, strides=[16]))
    cfg, _ = wire(detector(None, written))
    assert cfg.feature_indices == (2,) and cfg.bbox_head.in_channels == 256
    with pytest.raises(ConfigError, match='needs a feature map with places'):
        wire(detector(None, RETINA), VECTOR)


FCN = dict(type='FCNHead', channels=16, num_classes=3)
UPER = dict(type='UPerHead', channels=16, num_classes=3)


def test_an_auxiliary_head_gets_the_map_before_the_last():
    for maps in (DILATED, VIT_LAYERS):
        cfg, _ = wire(segmentor(FCN, auxiliary_head=FCN), maps)
        assert 'feature_indices' not in cfg
        assert (cfg.decode_head.in_index, cfg.auxiliary_head.in_index) == (3, 2)
    cfg, _ = wire(segmentor(FCN, auxiliary_head=FCN), PATCH_14)
    assert cfg.auxiliary_head.in_index == 0
    cfg, _ = wire(segmentor(FCN, auxiliary_head=FCN), maps_of((8, 16), (16, 32), (32, 64)))
    assert (cfg.decode_head.in_index, cfg.auxiliary_head.in_index) == (2, 1)


def test_an_index_that_is_written_counts_all_maps():
    cfg, _ = wire(segmentor(dict(FCN, in_index=3), auxiliary_head=dict(FCN, in_index=-2)), DILATED)
    assert cfg.decode_head.in_channels == 2048 and cfg.auxiliary_head.in_channels == 1024
    transformer = dict(type='SETRUPHead', channels=16, num_classes=3)
    heads = [dict(transformer, in_index=number) for number in range(3)]
    cfg, _ = wire(segmentor(dict(transformer, in_index=3), auxiliary_head=heads), VIT_LAYERS)
    assert 'feature_indices' not in cfg and cfg.auxiliary_head[2].in_channels == 192
    cfg, _ = wire(segmentor(dict(UPER, in_index=[0, 1, 2, 3])), VIT_LAYERS)
    assert cfg.decode_head.in_channels == [192] * 4


@pytest.mark.parametrize(
    'heads, maps, says',
    [
        (dict(decode_head=dict(FCN, in_index=4)), RESNET, r'decode_head\.in_index has 4, but the '),
        (
            dict(decode_head=dict(UPER, in_index=[0, 1, 2, 7])),
            RESNET,
            r'decode_head\.in_index has 7, but the backbone has 4 .*0: 64 channels at stride 4',
        ),
        (
            dict(decode_head=FCN, auxiliary_head=dict(FCN, in_index=2)),
            PATCH_14,
            r'auxiliary_head\.in_index has 2, but the backbone has 1 feature map \(0: 384 channels',
        ),
        (dict(decode_head=FCN), VECTOR, r'needs a feature map with places.* to .featmap'),
    ],
)
def test_an_index_that_there_is_not_is_refused(heads, maps, says):
    with pytest.raises(ConfigError, match=says):
        wire(dict(type='mmseg.EncoderDecoder', **heads), maps)


def test_written_channels_of_a_head_choose_its_map():
    cfg, _ = wire(segmentor(dict(FCN, in_channels=256, in_index='auto')))
    assert cfg.decode_head.in_index == 2
    cfg, _ = wire(segmentor(dict(UPER, in_channels=[128, 512], in_index='auto')))
    assert cfg.decode_head.in_index == [1, 3]
    auxiliary = dict(FCN, in_channels=192, in_index='auto')
    cfg, _ = wire(segmentor(FCN, auxiliary_head=auxiliary), VIT_LAYERS)
    assert cfg.auxiliary_head.in_index == 2


@pytest.mark.parametrize(
    'neck, channels',
    [
        (dict(type='MultiLevelNeck', out_channels=64, scales=[4, 2, 1, 0.5]), [192] * 4),
        (dict(type='Feature2Pyramid', embed_dim=192, rescales=[4, 2, 1, 0.5]), None),
    ],
)
def test_necks_that_scale_each_map(neck, channels):
    head = dict(type='FPNHead', channels=16, num_classes=3)
    cfg, _ = wire(segmentor(head, neck=neck), VIT_LAYERS)
    assert 'feature_indices' not in cfg and cfg.neck.get('in_channels') == channels
    assert cfg.decode_head.in_index == [0, 1, 2, 3]
    assert cfg.decode_head.in_channels == [64 if channels else 192] * 4
    assert cfg.decode_head.feature_strides == [4, 8, 16, 32]


def test_a_neck_of_three_maps_whose_last_is_fine():
    cfg, _ = wire(segmentor(FCN, neck=dict(type='JPU', mid_channels=8), auxiliary_head=FCN))
    assert cfg.feature_indices == (1, 2, 3) and cfg.neck.in_channels == (128, 256, 512)
    assert cfg.decode_head.in_index == 2 and cfg.decode_head.in_channels == 4 * 8
    assert cfg.auxiliary_head.in_index == 1 and cfg.auxiliary_head.in_channels == 256


SHARED = maps_of((48, 4), (48, 8), (48, 16), (48, 32), (48, 64))


def test_tasks_after_a_shared_neck():
    cfg, _ = wire(segmentor(UPER, auxiliary_head=FCN), SHARED, of_neck=True)
    assert 'feature_indices' not in cfg and cfg.decode_head.in_index == [0, 1, 2, 3]
    assert cfg.auxiliary_head.in_index == 2  # The deepest that is fine enough is 3.
    masks = dict(type='Mask2FormerHead', num_classes=3, pixel_decoder=dict(num_outs=3))
    cfg, _ = wire(segmentor(masks), SHARED, of_neck=True)
    assert cfg.feature_indices == (0, 1, 2, 3) and cfg.decode_head.strides == [4, 8, 16, 32]
    cfg, _ = wire(detector(None, RETINA), SHARED, of_neck=True)
    assert cfg.feature_indices == (1, 2, 3, 4) and strides(cfg) == [8, 16, 32, 64]
    enlarged = maps_of((48, 3.5), (48, 7), (48, 14), (48, 28))
    cfg, _ = wire(detector(FPN, RETINA), enlarged, of_neck=True)
    assert cfg.feature_indices == (2, 3) and strides(cfg) == [14, 28, 56, 112, 224]
    neck = dict(FPN, num_outs=2)
    cfg, _ = wire(detector(neck, dict(type='RPNHead', anchor_generator=ANCHORS)), enlarged, True)
    assert cfg.neck.in_channels == [48, 48]


@pytest.mark.parametrize(
    'neck, maps, channels',
    [
        (dict(type='allinone.SimpleFeaturePyramid', out_channels=8), VIT_LAYERS, 192),
        (dict(type='mmseg.MultiLevelNeck', out_channels=8), VIT_LAYERS, [192] * 4),
        (dict(type='mmdet.FPN', out_channels=8, num_outs=4), MOBILENET, [24, 32, 96, 1280]),
    ],
)
def test_a_shared_neck(neck, maps, channels):
    cfg, kind = ConfigDict(neck), kind_of_config('task', ConfigDict(detector(FPN, RETINA)))
    kind.wire_neck('model.shared_neck', cfg, lambda: maps)
    assert cfg.in_channels == channels
    with pytest.raises(ConfigError, match=r'^model.shared_neck needs a feature map with places'):
        kind.wire_neck('model.shared_neck', ConfigDict(neck), lambda: VECTOR)


class Unpadded(nn.Module):
    """64 and 29 places of 128 pixels, 128 and 61 of 256."""

    def __init__(self, only=None):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 2, 3, 2, padding=1), nn.Conv2d(2, 2, 7, 2)
        self.only = only

    def forward(self, x):
        assert self.only in (None, x.shape[-1])
        first = self.first(x)
        return first, self.second(first)


@pytest.mark.parametrize('only', [None, 128])
def test_strides_hold_for_all_sizes_of_images(only):
    found = feature_maps('model.backbone', dict(type=Unpadded, only=only))
    assert found == maps_of((2, 2), (2, 4))


def test_maps_of_a_backbone_are_found_without_its_weights():
    cfg = dict(type='mmpretrain.MobileNetV2', out_indices=(1, 2, 4, 6, 7))
    init = dict(type='Pretrained', checkpoint='no_such_file.pth')
    assert feature_maps('model.backbone', dict(cfg, init_cfg=init)) == MOBILENET
    with pytest.raises(ConfigError, match=r"model.backbone has no key 'depht'"):
        feature_maps('model.backbone', dict(type='mmpretrain.ResNet', depht=18))
