# Track 1 on one small GPU: MobileNetV2, FCOS, FCN.
_base_ = ['../_base_/track1.py', '../_base_/models/mobilenetv2_imagenet.py',
          '../_base_/schedules/adamw_ema.py']

model = dict(
    tasks=dict(
        cls=dict(
            type='mmpretrain.ImageClassifier', feature_indices=(4,),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=196, in_channels=1280,
                      loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'))),
        det=dict(
            type='mmdet.FCOS', feature_indices=(1, 2, 3),
            neck=dict(type='FPN', in_channels=[32, 96, 320], out_channels=128, num_outs=5,
                      start_level=0, add_extra_convs='on_output', relu_before_extra_convs=True),
            bbox_head=dict(
                type='FCOSHead', num_classes=45, in_channels=128, feat_channels=128,
                stacked_convs=3, strides=[8, 16, 32, 64, 128],
                norm_cfg=dict(type='GN', num_groups=16, requires_grad=True),
                center_sampling=True, norm_on_bbox=True, centerness_on_reg=True,
                loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25,
                              loss_weight=1.0),
                loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
                loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
            test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
                          nms=dict(type='nms', iou_threshold=0.6), max_per_img=100)),
        seg=dict(
            type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
            data_preprocessor=dict(size=(512, 1024), pad_val=0, seg_pad_val=255),
            decode_head=dict(
                type='FCNHead', in_channels=[24, 32, 96, 320], in_index=[0, 1, 2, 3],
                input_transform='resize_concat', channels=128, num_convs=2, kernel_size=3,
                concat_input=False, dropout_ratio=0.1, num_classes=19,
                norm_cfg=dict(type='GN', num_groups=16, requires_grad=True), align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
            train_cfg=dict(), test_cfg=dict(mode='whole'))))

train_dataloader = dict(cls=dict(batch_size=64), det=dict(batch_size=8), seg=dict(batch_size=8))
train_cfg = dict(type='MultiTaskTrainLoop', max_iters=40000, warmup=1 / 80, val_interval=0.1,
                 schedule=dict(type='AllTasks'))
