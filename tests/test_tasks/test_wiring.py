"""What tasks leave out of their configs, filled by the backbone's feature maps."""

import pytest
from mmengine.config import ConfigDict

from allinone.config.feature_maps import FeatureMap, feature_maps
from allinone.errors import ConfigError
from allinone.registry.kinds import kind_of_config


def maps_of(*maps):
    return [FeatureMap(number, *found) for number, found in enumerate(maps)]


RESNET = maps_of((64, 4), (128, 8), (256, 16), (512, 32))
# Two maps of one stride; the last one is deeper.
MOBILENET = maps_of((24, 4), (32, 8), (96, 16), (320, 32), (1280, 32))
VIT = maps_of((192, 16), (192, 16))
VECTOR = maps_of((384, None))


def wire(cfg, maps=RESNET):
    cfg = ConfigDict(cfg)
    kind_of_config('model.tasks.task', cfg)
    words = kind_of_config('model.tasks.task', cfg).wire('model.tasks.task', cfg, lambda: maps)
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
    assert cfg.feature_indices == (1, 2, 3) and cfg.neck.num_outs == 5
    # The neck begins behind its first map.
    assert cfg.bbox_head.anchor_generator.strides == [16, 32, 64, 128, 256]


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
    with pytest.raises(ConfigError, match=r'neck needs a feature map with places.*0: 384 channels'):
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
    assert cfg.feature_indices == (0, 1, 2, 4)
    assert cfg.decode_head.in_index == [0, 1, 2, 3]
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


def test_feature_indices_that_the_backbone_has_not_are_refused():
    with pytest.raises(ConfigError, match=r'feature_indices has 7, but the backbone has 4'):
        wire(detector(FPN, RETINA, feature_indices=(1, 7)))


def test_maps_of_a_backbone_are_found_without_its_weights():
    cfg = dict(type='mmpretrain.MobileNetV2', out_indices=(1, 2, 4, 6, 7))
    init = dict(type='Pretrained', checkpoint='no_such_file.pth')
    assert feature_maps('model.backbone', dict(cfg, init_cfg=init)) == MOBILENET
    with pytest.raises(ConfigError, match=r"model.backbone has no key 'depht'"):
        feature_maps('model.backbone', dict(type='mmpretrain.ResNet', depht=18))
