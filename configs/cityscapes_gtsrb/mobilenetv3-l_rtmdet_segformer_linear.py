# Cityscapes boxes and semantic segmentation of the same images, and GTSRB's 43 kinds of signs, on
# one GPU (with --amp). MobileNetV3-Large, RTMDet, SegFormer's head, linear classifier.
# The learning rate, its tenth for the backbone, the batch of 8 and the warm-up of 1500 iterations
# are of mmseg's segformer_mit-b0_8xb1-160k_cityscapes-1024x1024 (head: 10 x 6e-5); 215 passes over
# the 2975 images are the 80k iterations of mmseg's schedule_80k; weight decay and averaged weights
# of mmdet's rtmdet_l_8xb32-300e_coco. Statistics of batch norm are frozen, as two sources differ.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/schedules/adamw_ema.py',
    '../_base_/backbones/mobilenetv3_l.py',
    '../_base_/tasks/rtmdet.py', '../_base_/tasks/segformer.py',
    '../_base_/datasets/cityscapes_shared.py',
    '../_base_/tasks/linear_cls.py', '../_base_/datasets/gtsrb.py']

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        norm_eval=True,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/mobilenet_v3_large-3ea3c186.pth')),
    tasks=dict(det={{_base_.rtmdet_mapped}}, seg={{_base_.segformer}}, signs={{_base_.linear_cls}}),
    channels_last=True)
data = dict(street={{_base_.cityscapes_shared}}, signs={{_base_.gtsrb}})

train_dataloader = dict(street=dict(batch_size=8))
train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=215),
                 warmup=1500 / 80000, val_interval=1 / 10)
optim_wrapper = dict(
    optimizer=dict(lr=6e-4, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}))
