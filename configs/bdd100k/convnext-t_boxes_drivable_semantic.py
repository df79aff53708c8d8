# BDD100K: boxes and drivable area of the same images (100k), and semantic segmentation of others
# (10k). ConvNeXt-T, RTMDet, UPerNet.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/convnext_t.py',
          '../_base_/tasks/convnext_t.py', '../_base_/datasets/bdd100k_shared.py',
          '../_base_/datasets/bdd100k_seg.py', '../_base_/schedules/adamw_layer_decay_ema.py']

model = dict(tasks=dict(
    det={{_base_.convnext_t.rtmdet}}, drivable={{_base_.convnext_t.upernet}},
    seg={{_base_.convnext_t.upernet}}))
data = dict(street={{_base_.bdd100k_boxes_drivable}}, seg={{_base_.bdd100k_seg}})

train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=36), warmup=1 / 80,
                 val_interval=1 / 12)
