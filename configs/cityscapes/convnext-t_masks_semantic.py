# Cityscapes: boxes with instance masks, and semantic segmentation, of the same images.
# ConvNeXt-T, RTMDet-Ins, UPerNet.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/convnext_t.py',
          '../_base_/tasks/convnext_t.py', '../_base_/datasets/cityscapes_shared.py',
          '../_base_/schedules/adamw_layer_decay_ema.py']

model = dict(tasks=dict(det={{_base_.convnext_t.rtmdet_ins}}, seg={{_base_.convnext_t.upernet}}))
data = dict(street={{_base_.cityscapes_shared_masks}})

train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=200), warmup=1 / 80,
                 val_interval=1 / 10)
