# FCN (arXiv:1411.4038) as mmseg's fcn_r50-d8.py, on the deepest feature map
# The libraries' backbones for it are dilated to stride 8; the shared one keeps the strides that
# detectors want.
# Group norm in place of synchronised batch norm, whose statistics need many images of the task at a
# time: any batch and any number of GPUs works.
fcn = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
    decode_head=dict(
        type='FCNHead', channels=512, num_convs=2, concat_input=True,
        dropout_ratio=0.1, norm_cfg=dict(type='GN', num_groups=32), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(
        type='FCNHead', channels=256, num_convs=1, concat_input=False, dropout_ratio=0.1,
        norm_cfg=dict(type='GN', num_groups=32), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
