# COCO boxes, ADE20K semantic segmentation and ImageNet classes, each on its own images, on one GPU
# (with --amp). ResNet-50, RTMDet, SegFormer's head, linear classifier.
# The learning rate, its tenth for the backbone, batches of 16 and the number of iterations, 1500 of
# them of warm-up, are of mmseg's segformer_mit-b0_8xb2-160k_ade20k-512x512 (head: 10 x 6e-5);
# weight decay and averaged weights of mmdet's rtmdet_l_8xb32-300e_coco; frozen statistics of batch
# norm of mmdet's configs of ResNet-50; the batch of 64 of mmpretrain's imagenet_bs64.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/schedules/adamw_ema.py',
    '../_base_/backbones/resnet50.py',
    '../_base_/tasks/linear_cls.py', '../_base_/datasets/imagenet.py',
    '../_base_/tasks/rtmdet.py', '../_base_/datasets/coco_640.py',
    '../_base_/tasks/segformer.py', '../_base_/datasets/ade20k.py']

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        norm_eval=True,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                       'resnet50_8xb32_in1k_20210831-ea4938fc.pth')),
    tasks=dict(cls={{_base_.linear_cls}}, det={{_base_.rtmdet_mapped}}, seg={{_base_.segformer}}),
    channels_last=True)
data = dict(cls={{_base_.imagenet}}, det={{_base_.coco}}, seg={{_base_.ade20k}})

train_dataloader = dict(seg=dict(batch_size=16))
train_cfg = dict(type='MultiTaskTrainLoop', max_iters=160000, warmup=1500 / 160000,
                 val_interval=1 / 16)
optim_wrapper = dict(
    optimizer=dict(lr=6e-4, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}))
