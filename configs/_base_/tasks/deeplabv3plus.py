# DeepLabV3+ (arXiv:1802.02611) as mmseg's deeplabv3plus_r50-d8.py, whose backbone is dilated to
# stride 8 and whose dilations are 12, 24 and 36. The shared one keeps the strides that detectors
# want; at stride 32 a quarter of them sees the same areas of the image. Its layers have 48
# channels, and the backbone's, so 16 groups.
# Group norm in place of synchronised batch norm, whose statistics need many images of the task at a
# time: any batch and any number of GPUs works.
deeplabv3plus = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead', channels=512, c1_channels=48,
        dilations=(1, 3, 6, 9), dropout_ratio=0.1, norm_cfg=dict(type='GN', num_groups=16),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(
        type='FCNHead', channels=256, num_convs=1, concat_input=False, dropout_ratio=0.1,
        norm_cfg=dict(type='GN', num_groups=32), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
# For backbones of one stride (plain vision transformers)
deeplabv3plus_vit = dict(
    deeplabv3plus, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256))
