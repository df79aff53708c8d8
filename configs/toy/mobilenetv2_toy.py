# The demo: three tasks on toy street scenes, from scratch, in minutes on two CPU cores.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/mobilenetv2.py',
    '../_base_/schedules/adamw_cosine.py', '../_base_/datasets/toy_cls.py',
    '../_base_/datasets/toy_det.py', '../_base_/datasets/toy_seg.py']

model = dict(
    # Half the width; group norm, for without pretrained statistics batches of one task at a time
    # would each pull batch norm's their own way.
    backbone=dict(widen_factor=0.5, out_indices=(1, 2, 4, 6),
                  norm_cfg=dict(type='GN', num_groups=4)),
    tasks=dict(
        cls=dict(
            type='mmpretrain.ImageClassifier', feature_indices=(2,),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=8, in_channels=48,
                      loss=dict(type='CrossEntropyLoss'))),
        det=dict(
            type='mmdet.FCOS', feature_indices=(1, 2, 3),
            neck=dict(type='FPN', in_channels=[16, 48, 160], out_channels=48, num_outs=3),
            bbox_head=dict(
                type='FCOSHead', num_classes=3, in_channels=48, feat_channels=48, stacked_convs=2,
                strides=[8, 16, 32], regress_ranges=((-1, 48), (48, 96), (96, 1e8)),
                norm_cfg=dict(type='GN', num_groups=8), center_sampling=True,
                norm_on_bbox=True, centerness_on_reg=True,
                loss_bbox=dict(type='GIoULoss', loss_weight=1.0)),
            test_cfg=dict(nms_pre=300, min_bbox_size=0, score_thr=0.05,
                          nms=dict(type='nms', iou_threshold=0.6), max_per_img=50)),
        seg=dict(
            type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
            data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
            decode_head=dict(
                type='FPNHead', in_channels=[16, 16, 48, 160], in_index=[0, 1, 2, 3],
                feature_strides=[4, 8, 16, 32], channels=32, num_classes=7,
                norm_cfg=dict(type='GN', num_groups=8), align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss')),
            train_cfg=dict(), test_cfg=dict(mode='whole'))))

train_dataloader = dict(
    cls={{_base_.toy_cls.train_dataloader}}, det={{_base_.toy_det.train_dataloader}},
    seg={{_base_.toy_seg.train_dataloader}})
val_dataloader = dict(
    cls={{_base_.toy_cls.val_dataloader}}, det={{_base_.toy_det.val_dataloader}},
    seg={{_base_.toy_seg.val_dataloader}})
val_evaluator = dict(
    cls={{_base_.toy_cls.val_evaluator}}, det={{_base_.toy_det.val_evaluator}},
    seg={{_base_.toy_seg.val_evaluator}})
test_dataloader = val_dataloader
test_evaluator = val_evaluator

# Each in percent
val_cfg = dict(score={'cls/top1': 1, 'det/bbox_mAP_50': 100, 'seg/mIoU': 1})
test_cfg = dict(score={'cls/top1': 1, 'det/bbox_mAP_50': 100, 'seg/mIoU': 1})
train_cfg = dict(type='MultiTaskTrainLoop', max_iters=300, warmup=0.1, val_interval=1 / 3,
                 schedule=dict(type='AllTasks'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
optim_wrapper = dict(optimizer=dict(lr=2e-3))
