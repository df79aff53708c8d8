# ImageNet of imagenet.py at 384 x 384, as in mmpretrain's imagenet_bs64_swin_384.py
_base_ = './imagenet.py'

_resize = dict(scale=384, backend='pillow', interpolation='bicubic')
imagenet = dict(
    train_dataloader=dict(
        batch_size=32,
        dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomResizedCrop', **_resize),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=32,
        dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', **_resize),
            dict(type='PackInputs')])))
del _resize  # only the data set itself is inherited
