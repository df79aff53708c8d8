# Traffic signs, street-scene boxes and semantic segmentation on one MobileNetV2.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/mobilenetv2.py',
    '../_base_/schedules/adamw_cosine.py', '../_base_/datasets/traffic_mini_cls.py',
    '../_base_/datasets/traffic_mini_det.py', '../_base_/datasets/traffic_mini_seg.py']

model = dict(
    backbone=dict(
        # ImageNet statistics: batches of one task at a time would each pull them their own way.
        norm_eval=True,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/mobilenet_v2_imagenet.pth')),
    channels_last=True,
    # Alike, the signs lose most by joining: docs/results.md has what it was chosen by.
    balancer=dict(type='FixedWeights', weights=dict(cls=4)),
    tasks=dict(
        cls=dict(
            type='mmpretrain.ImageClassifier', feature_indices=(4,),
            data_preprocessor=dict(
                num_classes=43, batch_augments=dict(augments=dict(type='Mixup', alpha=0.2))),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=43, in_channels=1280,
                      loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'))),
        det=dict(
            type='mmdet.GFL', feature_indices=(1, 2, 3),
            neck=dict(type='FPN', in_channels=[32, 96, 320], out_channels=96, num_outs=4,
                      add_extra_convs='on_output', start_level=0),
            bbox_head=dict(
                type='GFLHead', num_classes=4, in_channels=96, feat_channels=96, stacked_convs=2,
                norm_cfg=dict(type='GN', num_groups=16, requires_grad=True),
                anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=8,
                                      scales_per_octave=1, strides=[8, 16, 32, 64]),
                loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0,
                              loss_weight=1.0),
                loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
                reg_max=16,
                loss_bbox=dict(type='GIoULoss', loss_weight=2.0)),
            train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1,
                           pos_weight=-1, debug=False),
            test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
                          nms=dict(type='nms', iou_threshold=0.6), max_per_img=100)),
        seg=dict(
            type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
            data_preprocessor=dict(size=(256, 352), pad_val=0, seg_pad_val=255),
            decode_head=dict(
                type='UPerHead', in_channels=[24, 32, 96, 320], in_index=[0, 1, 2, 3],
                pool_scales=(1, 2, 3, 6), channels=64, dropout_ratio=0.1, num_classes=11,
                norm_cfg=dict(type='BN', requires_grad=True), align_corners=False,
                # From the pixels of the train split:
                # python tools/class_weights.py configs/traffic_mini/mobilenetv2_joint.py seg
                loss_decode=dict(type='CrossEntropyLoss', class_weight=[
                    0.80, 0.61, 4.79, 0.48, 2.21, 1.25, 4.50, 4.57, 1.83, 5.43, 6.27])),
            train_cfg=dict(), test_cfg=dict(mode='whole'))))

data = dict(
    cls={{_base_.traffic_mini_cls}}, det={{_base_.traffic_mini_det}},
    seg={{_base_.traffic_mini_seg}})

train_cfg = dict(type='MultiTaskTrainLoop', max_iters=1200, warmup=1 / 12, val_interval=0.5,
                 schedule=dict(type='AllTasks'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
