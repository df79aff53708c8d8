# ADE20K, 150 classes, 0 ignored (tools/convert.py ade20k)
_root = '{{$ALLINONE_DATA:data}}/ade20k/'
_dataset = dict(type='mmseg.ADE20KDataset')
ade20k = dict(
    num_classes=150, score={'mIoU': 1},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, data_prefix=dict(img_path=_root + 'images/training',
                                         seg_map_path=_root + 'annotations/training'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackSegInputs')])),
    val_dataloader=dict(
        batch_size=1, num_workers=4,  # images of many sizes
        dataset=dict(
            **_dataset, test_mode=True,
            data_prefix=dict(img_path=_root + 'images/validation',
                             seg_map_path=_root + 'annotations/validation'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(2048, 512), keep_ratio=True),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs')])),
    val_evaluator=dict(type='allinone.SegmentationMetric', _scope_='mmseg',
                       iou_metrics=['mIoU']))
del _root, _dataset  # only the data set itself is inherited
