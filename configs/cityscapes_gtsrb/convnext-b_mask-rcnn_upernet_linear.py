# Cityscapes instance masks and semantic segmentation of the same images, and GTSRB's 43 kinds of
# signs. ConvNeXt-B, Mask R-CNN, UPerNet, linear classifier. Batch sizes are those of each of 8 GPUs
# (with --amp).
# The batch of 2, learning rate, weight decay, rate of decay by layers (there by stages) and warm-up
# of 1500 iterations are of mmseg's convnext-base_upernet_8xb2-amp-160k_ade20k-512x512; 484 passes
# over the 2975 images are the 90k iterations of 16 images of mmseg's Mask2Former on Cityscapes.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/schedules/adamw_layer_decay_ema.py',
    '../_base_/backbones/convnext_b.py',
    '../_base_/tasks/mask_rcnn.py', '../_base_/tasks/upernet.py',
    '../_base_/datasets/cityscapes_shared.py',
    '../_base_/tasks/linear_cls.py', '../_base_/datasets/gtsrb.py']

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(init_cfg=dict(
        type='Pretrained', prefix='backbone',
        checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                   'convnext-base_in21k-pre-3rdparty_32xb128_in1k_20220124-eb2d6ada.pth')),
    tasks=dict(det={{_base_.mask_rcnn}}, seg={{_base_.upernet}}, signs={{_base_.linear_cls}}),
    channels_last=True)
data = dict(street={{_base_.cityscapes_shared_masks}}, signs={{_base_.gtsrb}})

train_dataloader = dict(street=dict(batch_size=2), signs=dict(batch_size=16))
val_dataloader = dict(street=dict(batch_size=1))
train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source='street', n=484),
                 warmup=1500 / 90000, val_interval=1 / 10)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.9))
