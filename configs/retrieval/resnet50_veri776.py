# Re-identification of vehicles, with the values of resnet50_market1501.py. Not run here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/schedules/adamw_warmup_cosine.py',
    '../_base_/backbones/resnet50.py', '../_base_/tasks/embedding.py',
    '../_base_/datasets/veri776.py']

model = dict(
    backbone=dict(
        strides=(1, 2, 2, 1),
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/resnet50_8xb32_in1k_20210831-ea4938fc.pth')),
    tasks=dict(vehicles={{_base_.embedding}}),
    channels_last=True)
data = dict(vehicles={{_base_.veri776}})

train_cfg = dict(type='MultiTaskTrainLoop', max_epochs=120, warmup=10 / 120, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=3.5e-4, weight_decay=5e-4))
