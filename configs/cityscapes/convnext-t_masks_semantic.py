# Cityscapes: boxes with instance masks, and semantic segmentation, of the same images.
# ConvNeXt-T, RTMDet-Ins, UPerNet.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/convnext_t.py',
          '../_base_/tasks/convnext_t.py', '../_base_/datasets/cityscapes_shared.py',
          '../_base_/schedules/adamw_cosine.py']

model = dict(tasks=dict(det={{_base_.convnext_t.rtmdet_ins}}, seg={{_base_.convnext_t.upernet}}))
data = dict(street={{_base_.cityscapes_shared_masks}})

train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=200), warmup=1 / 80,
                 val_interval=1 / 10)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.05),
    # Layer-wise decay of the learning rate
    constructor='LayerDecay', paramwise_cfg=dict(layer_decay_rate=0.8, flat_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
custom_hooks = [dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-4,
                     update_buffers=True, priority=49)]
