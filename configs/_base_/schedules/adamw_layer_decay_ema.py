# AdamW with a learning rate that decays from layer to layer, for large pretrained backbones: linear
# warm-up, cosine to zero and averaged weights. The config gives the length of the training and
# train_cfg.warmup.
_base_ = './adamw_cosine.py'

optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.05),
    constructor='LayerDecay', paramwise_cfg=dict(layer_decay_rate=0.8, flat_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
custom_hooks = [dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-4,
                     update_buffers=True, priority=49)]
