# KITTI 2D object detection, 1242 x 375, 8 classes, COCO format (tools/convert.py kitti)
_root = '{{$ALLINONE_DATA:data}}/kitti/'
_dataset = dict(
    type='mmdet.CocoDataset',
    metainfo=dict(classes=(
        'Car', 'Van', 'Truck', 'Pedestrian', 'Person_sitting', 'Cyclist', 'Tram', 'Misc')))
kitti = dict(
    num_classes=8, score={'bbox_mAP_50': 100},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.json', data_prefix=dict(img=_root + 'train/'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='RandomResize', scale=(1242, 375), ratio_range=(0.8, 1.6),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(1242, 375), allow_negative_crop=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.json', data_prefix=dict(img=_root + 'val/'),
            test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(1242, 375), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=(
                    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])),
    val_evaluator=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                       ann_file=_root + 'val.json'))
del _root, _dataset  # only the data set itself is inherited
