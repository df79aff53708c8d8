# BDD100K drivable area, 1280 x 720, 3 classes (tools/convert.py bdd100k_drivable)
_root = '{{$ALLINONE_DATA:data}}/bdd100k_drivable/'
_dataset = dict(
    type='mmseg.BaseSegDataset',
    metainfo=dict(classes=('direct', 'alternative', 'background'),
                  palette=[[219, 94, 86], [86, 211, 219], [0, 0, 0]]))
bdd100k_drivable = dict(
    num_classes=3, score={'mIoU': 1},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, data_prefix=dict(img_path=_root + 'images/train',
                                         seg_map_path=_root + 'label/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomResize', scale=(1280, 720), ratio_range=(0.5, 2.0),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(512, 1024)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackSegInputs')])),
    val_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            **_dataset, test_mode=True,
            data_prefix=dict(img_path=_root + 'images/val',
                             seg_map_path=_root + 'label/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(1280, 720), keep_ratio=True),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs')])),
    val_evaluator=dict(type='allinone.SegmentationMetric', _scope_='mmseg',
                       iou_metrics=['mIoU']))
del _root, _dataset  # only the data set itself is inherited
