# Toy street scenes (tools/make_toy_data.py), 256 x 192, 3 kinds of signs, COCO format
_root = '{{$ALLINONE_DATA:data}}/toy/signs/'
_dataset = dict(type='mmdet.CocoDataset',
                metainfo=dict(classes=('prohibition', 'warning', 'mandatory')))
toy_signs = dict(
    num_classes=3, score={'bbox_mAP_50': 100},
    train_dataloader=dict(
        batch_size=8, num_workers=1,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.json', data_prefix=dict(img=_root + 'train/'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=8, num_workers=0,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.json', data_prefix=dict(img=_root + 'val/'),
            test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(256, 192), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=(
                    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])),
    val_evaluator=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                       ann_file=_root + 'val.json'))
del _root, _dataset  # only the data set itself is inherited
