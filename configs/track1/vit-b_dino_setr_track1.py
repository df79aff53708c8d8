# The published baseline of Track 1 (Open-TransMind, arXiv:2304.06051): ViT-B/16 at 896, DINO,
# SETR-PUP; images, batches and schedule of its vitbase_jointtraining_config.py. Batch sizes are
# those of each of 8 GPUs. docs/track1.md says where this differs.
_base_ = ['../_base_/track1.py', '../_base_/models/dino.py', '../_base_/schedules/adamw_cosine.py']

_up = dict(type='SETRUPHead', in_channels=768, channels=256, num_classes=19, kernel_size=3,
           norm_cfg=dict(type='GN', num_groups=32, requires_grad=True), align_corners=True)
_short_sides = [(side, 608) for side in (480, 512, 544, 576, 608)]

model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_size_divisor=32),
    # Windows of 14 x 14 but for layers 2, 5, 8 and 11. Maps: 768 channels at stride 16, after
    # layers 5, 7, 9 and 11.
    backbone=dict(
        type='mmpretrain.ViTSAM', arch='base', img_size=896, patch_size=16, window_size=14,
        out_channels=0, out_indices=(5, 7, 9, 11), use_rel_pos=True, drop_path_rate=0.5,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                       'vit-base-p16_sam-pre_3rdparty_sa1b-1024px_20230411-2320f9cc.pth')),
    balancer=dict(type='FixedWeights'),
    tasks=dict(
        cls=dict(
            type='mmpretrain.ImageClassifier', feature_indices=(3,),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=196, in_channels=768,
                      loss=dict(type='CrossEntropyLoss'))),
        det=dict(
            feature_indices=(3,),
            neck=dict(type='allinone.SimpleFeaturePyramid', in_channels=768, out_channels=256,
                      scales=(2, 1, 0.5), num_extra=1),
            test_cfg=dict(max_per_img=50)),
        seg=dict(
            type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
            data_preprocessor=dict(size=(720, 1280), pad_val=0, seg_pad_val=255),
            decode_head=dict(
                **_up, in_index=3, num_convs=4, up_scale=2,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
            auxiliary_head=[
                dict(**_up, in_index=index, num_convs=1, up_scale=4,
                     loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4))
                for index in (0, 1, 2)],
            train_cfg=dict(), test_cfg=dict(mode='whole'))))

train_dataloader = dict(
    cls=dict(
        batch_size=16,
        dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(448, 448)),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='RandomApply', prob=0.5, transforms=[
                dict(type='AutoAugment', policies='imagenet')]),
            dict(type='RandomErasing', erase_prob=0.5, mode='rand', min_area_ratio=0.02,
                 max_area_ratio=0.4, fill_color=[103.53, 116.28, 123.675]),
            dict(type='PackInputs')])),
    det=dict(
        batch_size=2,
        dataset=dict(
            prob=[0.5, 0.5],
            pipelines=[
                [dict(type='RandomFlip', prob=0.5),
                 dict(type='RandomChoiceResize', scales=_short_sides, keep_ratio=True),
                 dict(type='PackDetInputs')],
                [dict(type='RandomFlip', prob=0.5),
                 dict(type='RandomChoiceResize', scales=[(400, 4200), (500, 4200), (600, 4200)],
                      keep_ratio=True),
                 dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600),
                      allow_negative_crop=True),
                 dict(type='RandomChoiceResize', scales=_short_sides, keep_ratio=True),
                 dict(type='PackDetInputs')]])),
    seg=dict(
        batch_size=2,
        dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomResize', scale=(1280, 720), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(720, 1280)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs')])))
_signs = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(608, 608), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=(
        'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
val_dataloader = dict(det=dict(dataset=dict(pipeline=_signs)))
test_dataloader = dict(det=dict(dataset=dict(pipeline=_signs)))

# 120 passes over the 7000 images of seg, 16 at a time
train_cfg = dict(type='MultiTaskTrainLoop', max_iters=52440, warmup=200 / 52440,
                 val_interval=1 / 40, schedule=dict(type='AllTasks'))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=1e-4), clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=1.5)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
del _up, _short_sides, _signs
