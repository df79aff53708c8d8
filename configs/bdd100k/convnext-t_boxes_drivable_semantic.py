# BDD100K: boxes and drivable area of the same images (100k), and semantic segmentation of others
# (10k). ConvNeXt-T, RTMDet, UPerNet.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/convnext_t.py',
          '../_base_/tasks/convnext_t.py', '../_base_/datasets/bdd100k_shared.py',
          '../_base_/datasets/bdd100k_seg.py', '../_base_/schedules/adamw_cosine.py']

model = dict(tasks=dict(
    det={{_base_.convnext_t.rtmdet}}, drivable={{_base_.convnext_t.upernet}},
    seg={{_base_.convnext_t.upernet}}))
data = dict(street={{_base_.bdd100k_boxes_drivable}}, seg={{_base_.bdd100k_seg}})

train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=36), warmup=1 / 80,
                 val_interval=1 / 12)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.05),
    # Layer-wise decay of the learning rate
    constructor='LayerDecay', paramwise_cfg=dict(layer_decay_rate=0.8, flat_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
custom_hooks = [dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-4,
                     update_buffers=True, priority=49)]
