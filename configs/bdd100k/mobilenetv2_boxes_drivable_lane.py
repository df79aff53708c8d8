# BDD100K: boxes, drivable area and lane markings of the same images. MobileNetV2, FCOS, FPN.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/mobilenetv2_imagenet.py',
          '../_base_/tasks/mobilenetv2.py', '../_base_/datasets/bdd100k_shared.py',
          '../_base_/schedules/adamw_ema.py']

model = dict(
    backbone=dict(out_indices=(1, 2, 4, 6)),
    tasks=dict(
        det={{_base_.mobilenetv2.fcos}}, drivable={{_base_.mobilenetv2.fpn}},
        lane={{_base_.mobilenetv2.fpn}}))
data = dict(street={{_base_.bdd100k_shared}})

train_dataloader = dict(street=dict(batch_size=8))
train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=36), warmup=1 / 80,
                 val_interval=1 / 12)
