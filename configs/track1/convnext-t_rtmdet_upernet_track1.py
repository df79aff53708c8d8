# Track 1 on one GPU: ConvNeXt-T, RTMDet, UPerNet.
_base_ = ['../_base_/track1.py', '../_base_/models/convnext_t.py', '../_base_/tasks/convnext_t.py',
          '../_base_/schedules/adamw_layer_decay_ema.py']

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
