# Cityscapes: boxes and semantic segmentation of the same images. MobileNetV2, FCOS, FPN.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/mobilenetv2_imagenet.py',
          '../_base_/tasks/mobilenetv2.py', '../_base_/datasets/cityscapes_shared.py',
          '../_base_/schedules/adamw_ema.py']

model = dict(
    backbone=dict(out_indices=(1, 2, 4, 6)),
    tasks=dict(det={{_base_.mobilenetv2.fcos}}, seg={{_base_.mobilenetv2.fpn}}))
data = dict(street={{_base_.cityscapes_shared}})

train_dataloader = dict(street=dict(batch_size=8))
train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=200), warmup=1 / 80,
                 val_interval=1 / 10)
