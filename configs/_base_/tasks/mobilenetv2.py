# Tasks on all feature maps of models/mobilenetv2.py, as in
# model = dict(tasks=dict(signs={{_base_.mobilenetv2.fcos}})). Numbers of classes follow the data.
mobilenetv2 = dict(
    linear_cls=dict(
        type='mmpretrain.ImageClassifier', feature_indices=(4,),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', in_channels=1280,
                  loss=dict(type='CrossEntropyLoss', loss_weight=1.0))),
    fcos=dict(
        type='mmdet.FCOS', feature_indices=(1, 2, 3),
        neck=dict(type='FPN', in_channels=[32, 96, 320], out_channels=96, num_outs=4,
                  add_extra_convs='on_output', relu_before_extra_convs=True),
        bbox_head=dict(
            type='FCOSHead', in_channels=96, feat_channels=96, stacked_convs=2,
            strides=[8, 16, 32, 64],
            regress_ranges=((-1, 64), (64, 128), (128, 256), (256, 1e8)),
            norm_cfg=dict(type='GN', num_groups=16, requires_grad=True), center_sampling=True,
            norm_on_bbox=True, centerness_on_reg=True,
            loss_bbox=dict(type='GIoULoss', loss_weight=1.0)),
        test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
                      nms=dict(type='nms', iou_threshold=0.6), max_per_img=100)),
    fpn=dict(
        type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
        data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
        decode_head=dict(
            type='FPNHead', in_channels=[24, 32, 96, 320], in_index=[0, 1, 2, 3],
            feature_strides=[4, 8, 16, 32], channels=64, dropout_ratio=0.1,
            norm_cfg=dict(type='GN', num_groups=16, requires_grad=True), align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
        train_cfg=dict(), test_cfg=dict(mode='whole')))
