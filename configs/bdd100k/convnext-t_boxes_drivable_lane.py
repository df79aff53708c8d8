# BDD100K: boxes, drivable area and lane markings of the same images. ConvNeXt-T, RTMDet, UPerNet.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/convnext_t.py',
          '../_base_/tasks/convnext_t.py', '../_base_/datasets/bdd100k_shared.py',
          '../_base_/schedules/adamw_layer_decay_ema.py']

model = dict(tasks=dict(
    det={{_base_.convnext_t.rtmdet}}, drivable={{_base_.convnext_t.upernet}},
    lane={{_base_.convnext_t.upernet}}))
data = dict(street={{_base_.bdd100k_shared}})

train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=36), warmup=1 / 80,
                 val_interval=1 / 12)
