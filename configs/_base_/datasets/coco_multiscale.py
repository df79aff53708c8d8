# COCO of coco.py at the scales and crops of DETR, as in mmdet's dino-4scale_r50_8xb2-12e_coco.py;
# images without boxes are trained, too
_base_ = './coco.py'

_resize = dict(
    type='RandomChoiceResize', scales=[(side, 1333) for side in range(480, 801, 32)],
    keep_ratio=True)
coco = dict(
    train_dataloader=dict(
        batch_size=2,
        dataset=dict(
            filter_cfg=dict(filter_empty_gt=False),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='RandomChoice', transforms=[
                    [_resize],
                    [dict(type='RandomChoiceResize',
                          scales=[(400, 4200), (500, 4200), (600, 4200)], keep_ratio=True),
                     dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600),
                          allow_negative_crop=True),
                     _resize]]),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(batch_size=1))  # images of many sizes
del _resize  # only the data set itself is inherited
