# COCO boxes, ADE20K semantic segmentation and ImageNet classes, each on its own images. Swin-L,
# DINO, Mask2Former, linear classifier. Batch sizes are those of each of 8 GPUs (with --amp).
# Batches of 2, the learning rate and its tenth for the backbone are of mmdet's
# dino-5scale_swin-l_8xb2-12e_coco (here 4 scales) and of mmseg's
# mask2former_swin-l-in22k-384x384-pre_8xb2-160k_ade20k-640x640; recomputed activations (with_cp)
# and clipping at 0.1, here of each task's gradient, of the former; weight decay, embeddings without
# it and the number of iterations of the latter. 32 images of ImageNet a GPU are 256 together, as in
# mmpretrain's imagenet_bs256.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/schedules/adamw_ema.py',
    '../_base_/backbones/swin_l.py',
    '../_base_/tasks/linear_cls.py', '../_base_/datasets/imagenet_384.py',
    '../_base_/tasks/dino.py', '../_base_/datasets/coco_multiscale.py',
    '../_base_/tasks/mask2former.py', '../_base_/datasets/ade20k_640.py']

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        with_cp=True,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                       'swin_large_patch4_window12_384_22kto1k-0a40944b.pth')),
    clip_grad_per_task=0.1,
    tasks=dict(cls={{_base_.linear_cls}}, det={{_base_.dino}}, seg={{_base_.mask2former}}))
data = dict(cls={{_base_.imagenet}}, det={{_base_.coco}}, seg={{_base_.ade20k}})

train_cfg = dict(type='MultiTaskTrainLoop', max_iters=160000, warmup=1500 / 160000,
                 val_interval=1 / 16)
_no_decay = dict(decay_mult=0.)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={
        'backbone': dict(lr_mult=0.1),
        'relative_position_bias_table': dict(lr_mult=0.1, decay_mult=0.),
        'query_embed': _no_decay, 'query_feat': _no_decay, 'level_embed': _no_decay}))
del _no_decay
