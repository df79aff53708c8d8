# Track 1 on one GPU: ConvNeXt-T, RTMDet, UPerNet.
_base_ = ['../_base_/track1.py', '../_base_/schedules/adamw_cosine.py']

model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_size_divisor=32),
    # Maps: 0: 96 channels, stride 4; 1: 192, 8; 2: 384, 16; 3: 768, 32.
    backbone=dict(
        type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.3,
        layer_scale_init_value=1.0, gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                       'convnext-tiny_in21k-pre_3rdparty_in1k-384px_20221219-c1182362.pth')),
    channels_last=True,
    # Clip each task's gradient; NormEqual in place of FixedWeights brings them to one norm.
    clip_grad_per_task=5.0,
    balancer=dict(type='FixedWeights'),
    tasks=dict(
        cls=dict(
            type='mmpretrain.ImageClassifier', feature_indices=(3,),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=196, in_channels=768,
                      loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'))),
        det=dict(
            type='mmdet.RTMDet', feature_indices=(1, 2, 3), use_syncbn=False,
            neck=dict(type='CSPNeXtPAFPN', in_channels=[192, 384, 768], out_channels=192,
                      num_csp_blocks=2, expand_ratio=0.5,
                      norm_cfg=dict(type='GN', num_groups=32),
                      act_cfg=dict(type='SiLU', inplace=True)),
            bbox_head=dict(
                type='RTMDetSepBNHead', num_classes=45, in_channels=192, feat_channels=192,
                stacked_convs=2,
                anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
                bbox_coder=dict(type='DistancePointBBoxCoder'),
                loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0,
                              loss_weight=1.0),
                loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
                with_objectness=False, exp_on_reg=True, share_conv=True, pred_kernel_size=1,
                norm_cfg=dict(type='GN', num_groups=32),
                act_cfg=dict(type='SiLU', inplace=True)),
            train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
                           allowed_border=-1, pos_weight=-1, debug=False),
            test_cfg=dict(nms_pre=3000, min_bbox_size=0, score_thr=0.001,
                          nms=dict(type='nms', iou_threshold=0.65), max_per_img=300)),
        seg=dict(
            type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
            data_preprocessor=dict(size=(512, 1024), pad_val=0, seg_pad_val=255),
            decode_head=dict(
                type='UPerHead', in_channels=[96, 192, 384, 768], in_index=[0, 1, 2, 3],
                pool_scales=(1, 2, 3, 6), channels=256, dropout_ratio=0.1, num_classes=19,
                # With batch norm the pooled 1 x 1 map needs batches of two or more.
                norm_cfg=dict(type='GN', num_groups=32, requires_grad=True), align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
            auxiliary_head=dict(
                type='FCNHead', in_channels=384, in_index=2, channels=256, num_convs=1,
                concat_input=False, dropout_ratio=0.1, num_classes=19,
                norm_cfg=dict(type='GN', num_groups=32, requires_grad=True), align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4)),
            train_cfg=dict(), test_cfg=dict(mode='whole'))))

train_cfg = dict(type='MultiTaskTrainLoop', max_iters=60000, warmup=1 / 60, val_interval=1 / 12,
                 schedule=dict(type='AllTasks'))
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.05),
    # Layer-wise decay of the learning rate
    constructor='LayerDecay', paramwise_cfg=dict(layer_decay_rate=0.8, flat_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
custom_hooks = [dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-4,
                     update_buffers=True, priority=49)]
