# PASCAL VOC, trainval of 2007 and 2012, test of 2007 as val, 20 classes
# (tools/convert.py voc)
_root = '{{$ALLINONE_DATA:data}}/voc/'
voc = dict(
    num_classes=20, score={'mAP': 100},
    train_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            type='mmdet.VOCDataset', ann_file=_root + 'train.txt',
            data_prefix=dict(sub_data_root=_root + 'train/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32, bbox_min_size=32),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='Resize', scale=(1000, 600), keep_ratio=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackDetInputs')])),
    val_dataloader=dict(
        batch_size=4, num_workers=4,
        dataset=dict(
            type='mmdet.VOCDataset', ann_file=_root + 'val.txt',
            data_prefix=dict(sub_data_root=_root + 'val/'), test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(1000, 600), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=(
                    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])),
    val_evaluator=dict(type='mmdet.VOCMetric', metric='mAP', eval_mode='11points'))
del _root  # only the data set itself is inherited
