# The all-MLP head of SegFormer (arXiv:2105.15203) as mmseg's segformer_mit-b0.py
# Group norm in place of synchronised batch norm, whose statistics need many images of the task at a
# time: any batch and any number of GPUs works.
segformer = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
    decode_head=dict(
        type='SegformerHead', channels=256,
        dropout_ratio=0.1, norm_cfg=dict(type='GN', num_groups=32), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
# For backbones of one stride (plain vision transformers)
segformer_vit = dict(segformer, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256))
