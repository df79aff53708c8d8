# BDD100K detection, 1280 x 720, 10 classes, COCO format (tools/convert.py bdd100k_det)
_root = '{{$ALLINONE_DATA:data}}/bdd100k_det/'
_dataset = dict(
    type='mmdet.CocoDataset',
    metainfo=dict(classes=(
        'pedestrian', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle',
        'traffic light', 'traffic sign')))
bdd100k_det = dict(
    num_classes=10, score={'bbox_mAP_50': 100},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.json', data_prefix=dict(img=_root + 'train/'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='RandomResize', scale=(1280, 720), ratio_range=(0.8, 1.2),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(1280, 720), allow_negative_crop=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.json', data_prefix=dict(img=_root + 'val/'),
            test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(1280, 720), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=(
                    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])),
    val_evaluator=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                       ann_file=_root + 'val.json'))
del _root, _dataset  # only the data set itself is inherited
