# Track 1 on one GPU: ConvNeXt-T, RTMDet, UPerNet.
_base_ = ['../_base_/track1.py', '../_base_/models/convnext_t.py', '../_base_/tasks/convnext_t.py',
          '../_base_/schedules/adamw_cosine.py']

model = dict(
    # Clip each task's gradient; NormEqual in place of FixedWeights brings them to one norm.
    clip_grad_per_task=5.0,
    balancer=dict(type='FixedWeights'),
    tasks=dict(
        cls={{_base_.convnext_t.linear_cls}},
        det={{_base_.convnext_t.rtmdet}},
        seg=dict(
            type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
            data_preprocessor=dict(size=(512, 1024), pad_val=0, seg_pad_val=255),
            decode_head={{_base_.convnext_t.upernet.decode_head}},
            auxiliary_head={{_base_.convnext_t.upernet.auxiliary_head}},
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
