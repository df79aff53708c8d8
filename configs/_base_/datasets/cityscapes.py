# Cityscapes, 2048 x 1024, 19 classes, 255 ignored (tools/convert.py cityscapes)
_root = '{{$ALLINONE_DATA:data}}/cityscapes/'
_dataset = dict(type='mmseg.CityscapesDataset')
cityscapes = dict(
    num_classes=19, score={'mIoU': 1},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, data_prefix=dict(img_path=_root + 'leftImg8bit/train',
                                         seg_map_path=_root + 'gtFine/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(512, 1024), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackSegInputs')])),
    val_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, test_mode=True,
            data_prefix=dict(img_path=_root + 'leftImg8bit/val',
                             seg_map_path=_root + 'gtFine/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs')])),
    val_evaluator=dict(type='allinone.SegmentationMetric', _scope_='mmseg',
                       iou_metrics=['mIoU']))
del _root, _dataset  # only the data set itself is inherited
