# VeRi-776: 576 vehicles to train on, 200 others to search (tools/convert.py veri776)
_root = '{{$ALLINONE_DATA:data}}/veri776/'
_dataset = dict(type='allinone.IdentityDataset', _scope_='mmpretrain', data_prefix=_root)
_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(256, 256)),
    dict(type='PackInputs')]
veri776 = dict(
    num_classes=576, score={'mAP': 1},
    train_dataloader=dict(
        batch_size=64, num_workers=4,
        sampler=dict(type='IdentitySampler', identities=16, images_per_identity=4),
        dataset=dict(
            **_dataset, ann_file=_root + 'train.txt',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(256, 256)),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='RandomCrop', crop_size=(256, 256), padding=10),
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
