# BDD100K: boxes and drivable area of the same images (100k), and semantic segmentation of others
# (10k). MobileNetV2, FCOS, FPN.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/mobilenetv2_imagenet.py',
          '../_base_/tasks/mobilenetv2.py', '../_base_/datasets/bdd100k_shared.py',
          '../_base_/datasets/bdd100k_seg.py', '../_base_/schedules/adamw_ema.py']

model = dict(
    backbone=dict(out_indices=(1, 2, 4, 6)),
    tasks=dict(
        det={{_base_.mobilenetv2.fcos}}, drivable={{_base_.mobilenetv2.fpn}},
        seg={{_base_.mobilenetv2.fpn}}))
data = dict(street={{_base_.bdd100k_boxes_drivable}}, seg={{_base_.bdd100k_seg}})

train_dataloader = dict(street=dict(batch_size=8), seg=dict(batch_size=8))
train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=36), warmup=1 / 80,
                 val_interval=1 / 12)
