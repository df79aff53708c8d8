# AdamW with a linear warm-up, a cosine to zero and averaged weights. The config gives the length of
# the training and train_cfg.warmup.
_base_ = './adamw_cosine.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
custom_hooks = [dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-4,
                     update_buffers=True, priority=49)]
