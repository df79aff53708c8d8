# BDD100K, 1280 x 720, several tasks on the images 100k: boxes of 10 classes (det), drivable area,
# 3 classes (drivable), and in bdd100k_shared lane markings, 9 classes (lane). The folders are those
# of tools/convert.py bdd100k_det, bdd100k_drivable and bdd100k_lane; their images are links to the
# same files, by which they are joined.
_root = '{{$ALLINONE_DATA:data}}/bdd100k_'
_det = dict(
    type='mmdet.CocoDataset',
    metainfo=dict(classes=(
        'pedestrian', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle',
        'traffic light', 'traffic sign')))
_drivable = dict(
    type='mmseg.BaseSegDataset',
    metainfo=dict(classes=('direct', 'alternative', 'background'),
                  palette=[[219, 94, 86], [86, 211, 219], [0, 0, 0]]))
_lane = dict(
    type='mmseg.BaseSegDataset',
    metainfo=dict(
        classes=('crosswalk', 'double other', 'double white', 'double yellow', 'road curb',
                 'single other', 'single white', 'single yellow', 'background'),
        palette=[[219, 94, 86], [219, 194, 86], [145, 219, 86], [86, 219, 127], [86, 211, 219],
                 [86, 111, 219], [160, 86, 219], [219, 86, 178], [0, 0, 0]]))
_train = dict(
    det=dict(**_det, ann_file=_root + 'det/train.json', data_prefix=dict(img=_root + 'det/train/')),
    drivable=dict(**_drivable, data_prefix=dict(img_path=_root + 'drivable/images/train',
                                                seg_map_path=_root + 'drivable/label/train')))
_val = dict(
    det=dict(**_det, ann_file=_root + 'det/val.json', data_prefix=dict(img=_root + 'det/val/')),
    drivable=dict(**_drivable, data_prefix=dict(img_path=_root + 'drivable/images/val',
                                                seg_map_path=_root + 'drivable/label/val')))
_train_lane = dict(lane=dict(**_lane, data_prefix=dict(img_path=_root + 'lane/images/train',
                                                       seg_map_path=_root + 'lane/label/train')))
_val_lane = dict(lane=dict(**_lane, data_prefix=dict(img_path=_root + 'lane/images/val',
                                                     seg_map_path=_root + 'lane/label/val')))
_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadSharedAnnotations'),
    dict(type='mmdet.RandomResize', scale=(1280, 720), ratio_range=(0.8, 2.0), keep_ratio=True),
    # Width and height. Not below the smallest scale, so that the images of a batch are of one size
    dict(type='mmdet.RandomCrop', crop_size=(1024, 512), allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='PackSharedInputs')]
_val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1280, 720), keep_ratio=True),
    dict(type='LoadSharedAnnotations'),
    dict(type='PackSharedInputs')]
_two, _three = ('det', 'drivable'), ('det', 'drivable', 'lane')
_size = dict(batch_size=4, num_workers=4)
_boxes = dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
              ann_file=_root + 'det/val.json')
_maps = dict(type='allinone.SegmentationMetric', _scope_='mmseg', iou_metrics=['mIoU'])
bdd100k_boxes_drivable = dict(
    num_classes=dict(det=10, drivable=3), score={'det/bbox_mAP_50': 100, 'drivable/mIoU': 1},
    train_dataloader=dict(
        tasks=_two, **_size,
        dataset=dict(type='SharedDataset', labels=_train, pipeline=_train_pipeline)),
    val_dataloader=dict(
        tasks=_two, **_size,
        dataset=dict(type='SharedDataset', labels=_val, test_mode=True, pipeline=_val_pipeline)),
    val_evaluator=dict(det=_boxes, drivable=_maps))
bdd100k_shared = dict(
    num_classes=dict(det=10, drivable=3, lane=9),
    score={'det/bbox_mAP_50': 100, 'drivable/mIoU': 1, 'lane/mIoU': 1},
    train_dataloader=dict(
        tasks=_three, **_size,
        dataset=dict(type='SharedDataset', labels=dict(**_train, **_train_lane),
                     pipeline=_train_pipeline)),
    val_dataloader=dict(
        tasks=_three, **_size,
        dataset=dict(type='SharedDataset', labels=dict(**_val, **_val_lane), test_mode=True,
                     pipeline=_val_pipeline)),
    val_evaluator=dict(det=_boxes, drivable=_maps, lane=_maps))
del _root, _det, _drivable, _lane, _train, _val, _train_lane, _val_lane, _train_pipeline
del _val_pipeline, _two, _three, _size, _boxes, _maps  # only the data sets are inherited
