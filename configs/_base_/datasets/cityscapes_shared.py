# Cityscapes, 2048 x 1024, two tasks on the same images: boxes of 8 classes (det) and semantic
# segmentation, 19 classes, 255 ignored (seg). cityscapes_shared has boxes alone,
# cityscapes_shared_masks also loads their instance masks (docs/datasets/cityscapes.md).
_root = '{{$ALLINONE_DATA:data}}/cityscapes/'
_instances = _root + 'annotations/instancesonly_filtered_gtFine_'
_tasks = ('det', 'seg')
_load = dict(type='LoadSharedAnnotations')
_load_masks = dict(type='LoadSharedAnnotations', with_mask=True)
_changes = [
    dict(type='mmdet.RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    # Width and height. Not below the smallest scale, so that the images of a batch are of one size
    dict(type='mmdet.RandomCrop', crop_size=(1024, 512), allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='PackSharedInputs')]
_train = dict(
    type='SharedDataset',
    labels=dict(
        det=dict(type='mmdet.CityscapesDataset', ann_file=_instances + 'train.json',
                 data_prefix=dict(img=_root + 'leftImg8bit/train/')),
        seg=dict(type='mmseg.CityscapesDataset',
                 data_prefix=dict(img_path=_root + 'leftImg8bit/train',
                                  seg_map_path=_root + 'gtFine/train'))))
_val = dict(
    type='SharedDataset', test_mode=True,
    labels=dict(
        det=dict(type='mmdet.CityscapesDataset', ann_file=_instances + 'val.json',
                 data_prefix=dict(img=_root + 'leftImg8bit/val/')),
        seg=dict(type='mmseg.CityscapesDataset',
                 data_prefix=dict(img_path=_root + 'leftImg8bit/val',
                                  seg_map_path=_root + 'gtFine/val'))),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(2048, 1024), keep_ratio=True),
        _load,
        dict(type='PackSharedInputs')])
_boxes = dict(type='allinone.DetectionMetric', _scope_='mmdet', ann_file=_instances + 'val.json')
_maps = dict(type='allinone.SegmentationMetric', _scope_='mmseg', iou_metrics=['mIoU'])
cityscapes_shared = dict(
    num_classes=dict(det=8, seg=19), score={'det/bbox_mAP': 100, 'seg/mIoU': 1},
    train_dataloader=dict(
        tasks=_tasks, batch_size=4, num_workers=4,
        dataset=dict(**_train, pipeline=[dict(type='LoadImageFromFile'), _load, *_changes])),
    val_dataloader=dict(tasks=_tasks, batch_size=4, num_workers=4, dataset=_val),
    val_evaluator=dict(det=dict(**_boxes, metric='bbox'), seg=_maps))
cityscapes_shared_masks = dict(
    num_classes=dict(det=8, seg=19), score={'det/segm_mAP': 100, 'seg/mIoU': 1},
    train_dataloader=dict(
        tasks=_tasks, batch_size=4, num_workers=4,
        dataset=dict(**_train, pipeline=[dict(type='LoadImageFromFile'), _load_masks, *_changes])),
    val_dataloader=dict(tasks=_tasks, batch_size=4, num_workers=4, dataset=_val),
    val_evaluator=dict(det=dict(**_boxes, metric=['bbox', 'segm']), seg=_maps))
del _root, _instances, _tasks, _load, _load_masks, _changes, _train, _val, _boxes, _maps
