# Re-identification of persons. Values of the "bag of tricks" (1906.08332): ResNet-50 with a last
# stride of 1, 256 x 128, 16 identities with 4 images, weight decay 5e-4, 10 epochs of warm-up and
# 120 in all; a cosine in place of its two steps, and AdamW in place of Adam. Not run here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/schedules/adamw_warmup_cosine.py',
    '../_base_/backbones/resnet50.py', '../_base_/tasks/embedding.py',
    '../_base_/datasets/market1501.py']

model = dict(
    backbone=dict(
        strides=(1, 2, 2, 1),  # Twice as many places on the last map
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/resnet50_8xb32_in1k_20210831-ea4938fc.pth')),
    tasks=dict(persons={{_base_.embedding}}),
    channels_last=True)
data = dict(persons={{_base_.market1501}})

train_cfg = dict(type='MultiTaskTrainLoop', max_epochs=120, warmup=10 / 120, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=3.5e-4, weight_decay=5e-4))
