# UPerNet (arXiv:1807.10221) as mmseg's upernet_r50.py
# Group norm in place of synchronised batch norm, whose statistics need many images of the task at a
# time: any batch and any number of GPUs works.
upernet = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
    decode_head=dict(
        type='UPerHead', channels=512, pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1, norm_cfg=dict(type='GN', num_groups=32), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(
        type='FCNHead', channels=256, num_convs=1, concat_input=False, dropout_ratio=0.1,
        norm_cfg=dict(type='GN', num_groups=32), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
# For backbones of one stride (plain vision transformers)
upernet_vit = dict(upernet, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256))
