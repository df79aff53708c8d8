# The strongest published design for Track 1 that upstream parts allow: a large hierarchical
# backbone with DINO and Mask2Former, as of its two best-placed entries (Swin-L of one; the other's
# InternImage-XL is not in the libraries). Each task's gradient is clipped and brought to one norm.
# Batch sizes are those of each of 8 GPUs.
_base_ = ['../_base_/track1.py', '../_base_/models/dino.py', '../_base_/schedules/adamw_cosine.py']

model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_size_divisor=32),
    # Maps: 0: 192 channels, stride 4; 1: 384, 8; 2: 768, 16; 3: 1536, 32.
    backbone=dict(
        type='mmpretrain.SwinTransformer', arch='large', img_size=384, out_indices=(0, 1, 2, 3),
        window_size=12, pad_small_map=True, drop_path_rate=0.3, with_cp=True,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                       'swin_large_patch4_window12_384_22kto1k-0a40944b.pth')),
    clip_grad_per_task=0.1,
    balancer=dict(type='NormEqual'),
    tasks=dict(
        cls=dict(
            type='mmpretrain.ImageClassifier', feature_indices=(3,),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=196, in_channels=1536,
                      loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'))),
        det=dict(
            feature_indices=(0, 1, 2, 3), num_feature_levels=5,
            neck=dict(type='ChannelMapper', in_channels=[192, 384, 768, 1536], kernel_size=1,
                      out_channels=256, act_cfg=None, norm_cfg=dict(type='GN', num_groups=32),
                      num_outs=5),
            encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=5))),
            decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=5)))),
        seg=dict(
            type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
            data_preprocessor=dict(size=(512, 1024), pad_val=0, seg_pad_val=255),
            decode_head=dict(
                type='Mask2FormerHead', in_channels=[192, 384, 768, 1536],
                strides=[4, 8, 16, 32], feat_channels=256, out_channels=256, num_classes=19,
                num_queries=100, num_transformer_feat_level=3, align_corners=False,
                pixel_decoder=dict(
                    type='mmdet.MSDeformAttnPixelDecoder', num_outs=3,
                    norm_cfg=dict(type='GN', num_groups=32), act_cfg=dict(type='ReLU'),
                    encoder=dict(
                        num_layers=6,
                        layer_cfg=dict(
                            self_attn_cfg=dict(
                                embed_dims=256, num_heads=8, num_levels=3, num_points=4,
                                dropout=0.0, batch_first=True),
                            ffn_cfg=dict(
                                embed_dims=256, feedforward_channels=1024, num_fcs=2,
                                ffn_drop=0.0, act_cfg=dict(type='ReLU', inplace=True)))),
                    positional_encoding=dict(num_feats=128, normalize=True)),
                enforce_decoder_input_project=False,
                positional_encoding=dict(num_feats=128, normalize=True),
                transformer_decoder=dict(
                    return_intermediate=True, num_layers=9,
                    layer_cfg=dict(
                        self_attn_cfg=dict(
                            embed_dims=256, num_heads=8, dropout=0.0, batch_first=True),
                        cross_attn_cfg=dict(
                            embed_dims=256, num_heads=8, dropout=0.0, batch_first=True),
                        ffn_cfg=dict(
                            embed_dims=256, feedforward_channels=2048, num_fcs=2, ffn_drop=0.0,
                            act_cfg=dict(type='ReLU', inplace=True)))),
                # One weight a class, and that of no object: with num_classes
                loss_cls=dict(
                    type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=2.0,
                    reduction='mean', class_weight=[1.0] * 19 + [0.1]),
                loss_mask=dict(
                    type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='mean',
                    loss_weight=5.0),
                loss_dice=dict(
                    type='mmdet.DiceLoss', use_sigmoid=True, activate=True, reduction='mean',
                    naive_dice=True, eps=1.0, loss_weight=5.0),
                train_cfg=dict(
                    num_points=12544, oversample_ratio=3.0, importance_sample_ratio=0.75,
                    assigner=dict(
                        type='mmdet.HungarianAssigner',
                        match_costs=[
                            dict(type='mmdet.ClassificationCost', weight=2.0),
                            dict(type='mmdet.CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                            dict(type='mmdet.DiceCost', weight=5.0, pred_act=True, eps=1.0)]),
                    sampler=dict(type='mmdet.MaskPseudoSampler'))),
            train_cfg=dict(), test_cfg=dict(mode='whole'))))

train_dataloader = dict(cls=dict(batch_size=8), det=dict(batch_size=1), seg=dict(batch_size=2))
val_dataloader = dict(cls=dict(batch_size=8), det=dict(batch_size=1), seg=dict(batch_size=1))
test_dataloader = dict(cls=dict(batch_size=8), det=dict(batch_size=1), seg=dict(batch_size=1))
train_cfg = dict(type='MultiTaskTrainLoop', max_iters=60000, warmup=1 / 60, val_interval=1 / 12,
                 schedule=dict(type='AllTasks'))
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.05), clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys={
        'backbone': dict(lr_mult=0.1),
        'query_embed': dict(decay_mult=0.0), 'query_feat': dict(decay_mult=0.0),
        'level_embed': dict(decay_mult=0.0)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
custom_hooks = [dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-4,
                     update_buffers=True, priority=49)]
