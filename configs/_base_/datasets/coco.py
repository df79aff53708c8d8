# COCO 2017 detection, 80 classes (tools/convert.py coco)
_root = '{{$ALLINONE_DATA:data}}/coco/'
coco = dict(
    num_classes=80, score={'bbox_mAP_50': 100},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            type='mmdet.CocoDataset', ann_file=_root + 'annotations/instances_train2017.json',
            data_prefix=dict(img=_root + 'train2017/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='Resize', scale=(1333, 800), keep_ratio=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            type='mmdet.CocoDataset', ann_file=_root + 'annotations/instances_val2017.json',
            data_prefix=dict(img=_root + 'val2017/'), test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(1333, 800), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=(
                    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])),
    val_evaluator=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                       ann_file=_root + 'annotations/instances_val2017.json'))
del _root  # only the data set itself is inherited
