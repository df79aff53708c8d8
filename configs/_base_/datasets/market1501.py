# Market-1501: 751 persons to train on, 750 others to search (tools/convert.py market1501)
_root = '{{$ALLINONE_DATA:data}}/market1501/'
_dataset = dict(type='allinone.IdentityDataset', _scope_='mmpretrain', data_prefix=_root)
_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 256)),
    dict(type='PackInputs')]
market1501 = dict(
    num_classes=751, score={'mAP': 1},
    train_dataloader=dict(
        batch_size=64, num_workers=4,
        sampler=dict(type='IdentitySampler', identities=16, images_per_identity=4),
        dataset=dict(
            **_dataset, ann_file=_root + 'train.txt',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(128, 256)),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='RandomCrop', crop_size=(256, 128), padding=10),
                dict(type='RandomErasing', erase_prob=0.5),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'query.txt', test_mode=True, pipeline=_test_pipeline)),
    val_references=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'gallery.txt', test_mode=True, pipeline=_test_pipeline)),
    val_evaluator=dict(type='RankMetrics'))
del _root, _dataset, _test_pipeline  # only the data set itself is inherited
