# Track 1 of the CVPR 2023 foundation model challenge, in its own layout: Stanford Cars (196
# models), signs of Tsinghua-Tencent 100K (45 kinds, 2048 x 2048), BDD100K (19 classes, 1280 x 720).
# Names of the kinds of signs are those of dec/train.json; other classes are named by their numbers.
_root = '{{$TRACK1_ROOT:data/track1_train_data}}/'
_cars = dict(type='allinone.ImageListDataset', _scope_='mmpretrain', data_root=_root + 'cls')
_signs = dict(
    type='allinone.CocoFileDataset', data_root=_root + 'dec', classes_from_file='train.json')
_streets = dict(type='mmseg.BaseSegDataset', data_root=_root + 'seg')
_sign_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
              'flip_direction')

track1 = dict(
    cls=dict(
        num_classes=196, score={'top1': 1},
        train_dataloader=dict(
            batch_size=32, num_workers=4,
            # Class-aware sampling; SeededInfiniteSampler for plain shuffling
            sampler=dict(type='ClassAwareSampler'),
            dataset=dict(
                **_cars, ann_file='train.txt', data_prefix='train',
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='RandomResizedCrop', scale=448, crop_ratio_range=(0.4, 1.0)),
                    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                    dict(type='RandAugment', policies='timm_increasing', num_policies=2,
                         total_level=10, magnitude_level=9, magnitude_std=0.5),
                    dict(type='RandomErasing', erase_prob=0.5, mode='rand', min_area_ratio=0.02,
                         max_area_ratio=1 / 3, fill_color=[103.53, 116.28, 123.675],
                         fill_std=[57.375, 57.12, 58.395]),
                    dict(type='PackInputs')])),
        val_dataloader=dict(
            batch_size=32, num_workers=4,
            dataset=dict(
                **_cars, ann_file='val.txt', data_prefix='val', test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=(448, 448)),
                    dict(type='PackInputs')])),
        val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)),
        # Test-time augmentation: two crops, each mirrored too
        tta_pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='TestTimeAug', transforms=[
                [dict(type='Resize', scale=(448, 448)), dict(type='Resize', scale=(512, 512))],
                [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)],
                [dict(type='PackInputs')]])]),
    det=dict(
        num_classes=45, score={'bbox_mAP_50': 100},
        train_dataloader=dict(
            batch_size=4, num_workers=4,
            dataset=dict(
                type='allinone.RandomPipelineDataset', _scope_='mmdet',
                dataset=dict(
                    **_signs, ann_file='train.json', data_prefix=dict(img='train/'),
                    filter_cfg=dict(filter_empty_gt=False),
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(type='LoadAnnotations', with_bbox=True)]),
                # Branches: mosaic and mixup; one image at several scales
                prob=[0.5, 0.5],
                # No mirroring: signs are read.
                pipelines=[
                    [dict(type='Mosaic', img_scale=(1024, 1024), pad_val=114.0),
                     dict(type='RandomAffine', max_rotate_degree=0, max_shear_degree=0,
                          max_translate_ratio=0, scaling_ratio_range=(0.5, 1.5),
                          border=(-512, -512)),
                     dict(type='MixUp', img_scale=(1024, 1024), ratio_range=(0.8, 1.6),
                          pad_val=114.0),
                     dict(type='YOLOXHSVRandomAug'),
                     dict(type='PackDetInputs')],
                    [dict(type='RandomResize', scale=(1024, 1024), ratio_range=(0.75, 2.0),
                          keep_ratio=True),
                     dict(type='RandomCrop', crop_size=(1024, 1024), allow_negative_crop=True),
                     dict(type='PhotoMetricDistortion'),
                     dict(type='PackDetInputs')]])),
        val_dataloader=dict(
            batch_size=4, num_workers=4,
            dataset=dict(
                **_signs, _scope_='mmdet', ann_file='val.json', data_prefix=dict(img='val/'),
                test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=(1024, 1024), keep_ratio=True),
                    dict(type='LoadAnnotations', with_bbox=True),
                    dict(type='PackDetInputs', meta_keys=_sign_keys[:5])])),
        val_evaluator=dict(type='allinone.DetectionMetric', _scope_='mmdet', metric='bbox',
                           ann_file=_root + 'dec/val.json'),
        # Test-time augmentation: three sizes
        tta_pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='TestTimeAug', transforms=[
                [dict(type='Resize', scale=(1024, 1024), keep_ratio=True),
                 dict(type='Resize', scale=(1280, 1280), keep_ratio=True),
                 dict(type='Resize', scale=(1536, 1536), keep_ratio=True)],
                [dict(type='RandomFlip', prob=0.)],
                [dict(type='LoadAnnotations', with_bbox=True)],
                [dict(type='PackDetInputs', meta_keys=_sign_keys)]])]),
    seg=dict(
        num_classes=19, score={'mIoU': 1},
        train_dataloader=dict(
            batch_size=4, num_workers=4,
            dataset=dict(
                **_streets, data_prefix=dict(img_path='images/train', seg_map_path='label/train'),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations'),
                    dict(type='RandomResize', scale=(1280, 720), ratio_range=(0.5, 2.0),
                         keep_ratio=True),
                    dict(type='RandomCrop', crop_size=(512, 1024), cat_max_ratio=0.75),
                    dict(type='RandomFlip', prob=0.5),
                    dict(type='PhotoMetricDistortion'),
                    dict(type='PackSegInputs')])),
        val_dataloader=dict(
            batch_size=1, num_workers=4,  # other data may have images of many sizes
            dataset=dict(
                **_streets, data_prefix=dict(img_path='images/val', seg_map_path='label/val'),
                test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=(1280, 720), keep_ratio=True),
                    dict(type='LoadAnnotations'),
                    dict(type='PackSegInputs')])),
        val_evaluator=dict(type='allinone.SegmentationMetric', _scope_='mmseg',
                           iou_metrics=['mIoU']),
        # Test-time augmentation: three sizes, each mirrored too
        tta_pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='TestTimeAug', transforms=[
                [dict(type='Resize', scale_factor=factor, keep_ratio=True)
                 for factor in (0.75, 1.0, 1.25)],
                [dict(type='RandomFlip', prob=0., direction='horizontal'),
                 dict(type='RandomFlip', prob=1., direction='horizontal')],
                [dict(type='LoadAnnotations')],
                [dict(type='PackSegInputs')]])]))
del _root, _cars, _signs, _streets, _sign_keys  # only the data set itself is inherited
