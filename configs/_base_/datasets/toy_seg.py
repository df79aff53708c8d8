# Toy street scenes (tools/make_toy_data.py), 256 x 192, 7 classes, 255 ignored
_root = '{{$ALLINONE_DATA:data}}/toy/seg/'
_dataset = dict(
    type='mmseg.BaseSegDataset',
    metainfo=dict(
        classes=('sky', 'building', 'road', 'pavement', 'tree', 'vehicle', 'sign'),
        palette=[[70, 130, 180], [70, 70, 70], [128, 64, 128], [244, 35, 232], [107, 142, 35],
                 [0, 0, 142], [220, 220, 0]]))
toy_seg = dict(
    num_classes=7, score={'mIoU': 1},
    train_dataloader=dict(
        batch_size=8, num_workers=1,
        dataset=dict(
            **_dataset, data_prefix=dict(img_path=_root + 'images/train',
                                         seg_map_path=_root + 'label/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackSegInputs')])),
    val_dataloader=dict(
        batch_size=8, num_workers=0,
        dataset=dict(
            **_dataset, test_mode=True,
            data_prefix=dict(img_path=_root + 'images/val', seg_map_path=_root + 'label/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs')])),
    val_evaluator=dict(type='allinone.SegmentationMetric', _scope_='mmseg',
                       iou_metrics=['mIoU']))
del _root, _dataset  # only the data set itself is inherited
