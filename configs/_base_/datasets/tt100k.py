# TT100K traffic signs, 2048 x 2048, 45 classes, test as val, COCO format
# (tools/convert.py tt100k)
_root = '{{$ALLINONE_DATA:data}}/tt100k/'
_dataset = dict(
    type='mmdet.CocoDataset',
    metainfo=dict(classes=(
        'i2', 'i4', 'i5', 'il100', 'il60', 'il80', 'io', 'ip', 'p10', 'p11', 'p12', 'p19', 'p23',
        'p26', 'p27', 'p3', 'p5', 'p6', 'pg', 'ph4', 'ph4.5', 'ph5', 'pl100', 'pl120', 'pl20',
        'pl30', 'pl40', 'pl5', 'pl50', 'pl60', 'pl70', 'pl80', 'pm20', 'pm30', 'pm55', 'pn',
        'pne', 'po', 'pr40', 'w13', 'w32', 'w55', 'w57', 'w59', 'wo')))
tt100k = dict(
    num_classes=45, score={'bbox_mAP_50': 100},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.json', data_prefix=dict(img=_root + 'train/'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                # Signs are small, and several are each other's mirror image.
                dict(type='RandomResize', scale=(2048, 2048), ratio_range=(0.75, 1.25),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(896, 896), allow_negative_crop=True),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.json', data_prefix=dict(img=_root + 'val/'),
            test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(2048, 2048), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=(
                    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])),
    val_evaluator=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                       ann_file=_root + 'val.json'))
del _root, _dataset  # only the data set itself is inherited
