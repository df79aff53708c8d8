# GTSRB traffic signs, 43 classes, as a Track 1 image list
_root = '{{$ALLINONE_DATA:data}}/traffic_mini/cls/'
_pipeline = [
    dict(type='LoadImageFromFile'),
    # Crops make signs look larger in training, so testing wants more pixels (docs/results.md).
    dict(type='Resize', scale=(112, 112), interpolation='bicubic'),
]
_classes = [str(number) for number in range(43)]
traffic_mini_cls = dict(
    num_classes=43, score={'top1': 1},
    train_dataloader=dict(
        batch_size=64,
        num_workers=1,
        dataset=dict(
            type='allinone.ImageListDataset', _scope_='mmpretrain', metainfo=dict(classes=_classes),
            ann_file=_root + 'train.txt', data_prefix=_root + 'train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                # No flip: several signs are each other's mirror image.
                dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.6, 1.0),
                     interpolation='bicubic'),
                # Signs are seen from the side, at dusk and in motion.
                dict(type='RandAugment', num_policies=2, magnitude_level=10, magnitude_std='inf',
                     policies=[
                         dict(type='Rotate', magnitude_range=(0, 20)),
                         dict(type='Shear', magnitude_range=(0, 0.25), direction='horizontal'),
                         dict(type='Shear', magnitude_range=(0, 0.25), direction='vertical'),
                         dict(type='Translate', magnitude_range=(0, 0.12), direction='horizontal'),
                         dict(type='Translate', magnitude_range=(0, 0.12), direction='vertical'),
                     ]),
                dict(type='ColorJitter', brightness=0.7, contrast=0.7, saturation=0.7),
                dict(type='AutoContrast', prob=0.2),
                dict(type='Equalize', prob=0.2),
                dict(type='GaussianBlur', radius=2.0, prob=0.3),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=64,
        num_workers=1,
        dataset=dict(
            type='allinone.ImageListDataset', _scope_='mmpretrain', metainfo=dict(classes=_classes),
            ann_file=_root + 'val.txt', data_prefix=_root + 'val', test_mode=True,
            pipeline=[*_pipeline, dict(type='PackInputs')])),
    val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)))
del _root, _pipeline, _classes  # only the data set itself is inherited
