# Cityscapes: boxes and semantic segmentation of the same images. MobileNetV2, FCOS, FPN.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/mobilenetv2.py',
          '../_base_/tasks/mobilenetv2.py', '../_base_/datasets/cityscapes_shared.py',
          '../_base_/schedules/adamw_cosine.py']

model = dict(
    backbone=dict(
        out_indices=(1, 2, 4, 6), norm_eval=True,  # ImageNet statistics
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/mobilenet_v2_imagenet.pth')),
    channels_last=True,
    tasks=dict(det={{_base_.mobilenetv2.fcos}}, seg={{_base_.mobilenetv2.fpn}}))
data = dict(street={{_base_.cityscapes_shared}})

train_dataloader = dict(street=dict(batch_size=8))
train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=200), warmup=1 / 80,
                 val_interval=1 / 10)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]
custom_hooks = [dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-4,
                     update_buffers=True, priority=49)]
