# CamVid in SegNet's 11-class form, 480 x 360, 255 ignored
_root = '{{$ALLINONE_DATA:data}}/traffic_mini/seg/'
_metainfo = dict(
    classes=('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car',
             'pedestrian', 'bicyclist'),
    palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [0, 0, 192],
             [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
             [0, 128, 192]])
traffic_mini_seg = dict(
    num_classes=11, score={'mIoU': 1},
    train_dataloader=dict(
        batch_size=4,
        num_workers=1,
        dataset=dict(
            type='mmseg.BaseSegDataset', metainfo=_metainfo,
            data_prefix=dict(img_path=_root + 'images/train', seg_map_path=_root + 'label/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomResize', scale=(480, 360), ratio_range=(0.6, 1.6),
                     keep_ratio=True),
                dict(type='RandomCrop', crop_size=(256, 352), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackSegInputs')])),
    val_dataloader=dict(
        batch_size=4,
        num_workers=1,
        dataset=dict(
            type='mmseg.BaseSegDataset', metainfo=_metainfo, test_mode=True,
            data_prefix=dict(img_path=_root + 'images/val', seg_map_path=_root + 'label/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs')])),
    val_evaluator=dict(type='allinone.SegmentationMetric', _scope_='mmseg',
                       iou_metrics=['mIoU']))
del _root, _metainfo  # only the data set itself is inherited
