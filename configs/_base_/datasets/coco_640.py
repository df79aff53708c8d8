# COCO of coco.py at 640 x 640: training as in the last 20 epochs of mmdet's
# rtmdet_l_8xb32-300e_coco.py, without mosaic and mixup; validation as there
_base_ = './coco.py'

_size = (640, 640)
_pad = dict(type='Pad', size=_size, pad_val=dict(img=(114, 114, 114)))
coco = dict(
    train_dataloader=dict(
        batch_size=16,
        dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='RandomResize', scale=_size, ratio_range=(0.1, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=_size),
            dict(type='YOLOXHSVRandomAug'),
            dict(type='RandomFlip', prob=0.5),
            _pad,
            dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=16,
        dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=_size, keep_ratio=True),
            _pad,
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs', meta_keys=(
                'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])))
del _size, _pad  # only the data set itself is inherited
