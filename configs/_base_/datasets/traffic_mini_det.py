# COAD street scenes, 416 x 416, 4 classes, COCO format
_root = '{{$ALLINONE_DATA:data}}/traffic_mini/dec/'
_metainfo = dict(classes=('vehicle', 'pedestrian', 'motorcycle', 'obstacle'))
traffic_mini_det = dict(
    num_classes=4, score={'bbox_mAP_50': 100},
    train_dataloader=dict(
        batch_size=4,
        num_workers=1,
        dataset=dict(
            type='mmdet.CocoDataset', metainfo=_metainfo,
            ann_file=_root + 'train.json', data_prefix=dict(img=_root + 'train/'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='RandomResize', scale=(416, 416), ratio_range=(0.8, 1.4),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(416, 416), allow_negative_crop=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=8,
        num_workers=1,
        dataset=dict(
            type='mmdet.CocoDataset', metainfo=_metainfo, test_mode=True,
            ann_file=_root + 'val.json', data_prefix=dict(img=_root + 'val/'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(416, 416), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=(
                    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])),
    val_evaluator=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                       classwise=True, ann_file=_root + 'val.json'))
del _root, _metainfo  # only the data set itself is inherited
