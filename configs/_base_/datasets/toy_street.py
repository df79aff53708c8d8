# Toy street scenes (tools/make_toy_data.py), 256 x 192: images with boxes (3 classes), a class map
# (7 classes), a map of the road (2 classes) and the class of the scene (8), of which an image may
# lack any but the road
_root = '{{$ALLINONE_DATA:data}}/toy/street/'
_tasks = ('det', 'seg', 'drivable', 'cls')
_det = dict(type='mmdet.CocoDataset', metainfo=dict(classes=('vehicle', 'pedestrian', 'sign')))
_seg = dict(
    type='mmseg.BaseSegDataset',
    metainfo=dict(
        classes=('sky', 'building', 'road', 'pavement', 'tree', 'vehicle', 'sign'),
        palette=[[70, 130, 180], [70, 70, 70], [128, 64, 128], [244, 35, 232], [107, 142, 35],
                 [0, 0, 142], [220, 220, 0]]))
_drivable = dict(
    type='mmseg.BaseSegDataset',
    metainfo=dict(classes=('other', 'road'), palette=[[60, 60, 60], [0, 200, 80]]))
_cls = dict(
    type='allinone.ImageListDataset',
    metainfo=dict(classes=('day_quiet', 'day_busy', 'overcast_quiet', 'overcast_busy',
                           'dusk_quiet', 'dusk_busy', 'night_quiet', 'night_busy')))
toy_street = dict(
    num_classes=dict(det=3, seg=7, drivable=2, cls=8),
    score={'det/bbox_mAP_50': 100, 'seg/mIoU': 1, 'drivable/mIoU': 1, 'cls/top1': 1},
    train_dataloader=dict(
        tasks=_tasks, batch_size=8, num_workers=1,
        dataset=dict(
            type='SharedDataset',
            labels=dict(
                det=dict(**_det, ann_file=_root + 'boxes_train.json',
                         data_prefix=dict(img=_root + 'images/train/')),
                seg=dict(**_seg, ann_file=_root + 'label_train.txt',
                         data_prefix=dict(img_path=_root + 'images/train',
                                          seg_map_path=_root + 'label/train')),
                drivable=dict(**_drivable,
                              data_prefix=dict(img_path=_root + 'images/train',
                                               seg_map_path=_root + 'drivable/train')),
                cls=dict(**_cls, ann_file=_root + 'scene_train.txt',
                         data_prefix=_root + 'images/train')),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadSharedAnnotations'),
                dict(type='mmdet.RandomFlip', prob=0.5),
                dict(type='PackSharedInputs')])),
    val_dataloader=dict(
        tasks=_tasks, batch_size=8, num_workers=0,
        dataset=dict(
            type='SharedDataset', test_mode=True,
            labels=dict(
                det=dict(**_det, ann_file=_root + 'boxes_val.json',
                         data_prefix=dict(img=_root + 'images/val/')),
                seg=dict(**_seg, ann_file=_root + 'label_val.txt',
                         data_prefix=dict(img_path=_root + 'images/val',
                                          seg_map_path=_root + 'label/val')),
                drivable=dict(**_drivable,
                              data_prefix=dict(img_path=_root + 'images/val',
                                               seg_map_path=_root + 'drivable/val')),
                cls=dict(**_cls, ann_file=_root + 'scene_val.txt',
                         data_prefix=_root + 'images/val')),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='mmdet.Resize', scale=(256, 192), keep_ratio=True),
                dict(type='LoadSharedAnnotations'),
                dict(type='PackSharedInputs')])),
    val_evaluator=dict(
        det=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                 ann_file=_root + 'boxes_val.json'),
        seg=dict(type='allinone.SegmentationMetric', _scope_='mmseg', iou_metrics=['mIoU']),
        drivable=dict(type='allinone.SegmentationMetric', _scope_='mmseg', iou_metrics=['mIoU']),
        cls=dict(type='mmpretrain.Accuracy', topk=(1, 5))))
del _root, _tasks, _det, _seg, _drivable, _cls  # only the data set itself is inherited
