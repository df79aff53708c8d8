# CUB-200-2011 for retrieval: 100 classes to train on, 100 others to search (tools/convert.py
# cub200)
_root = '{{$ALLINONE_DATA:data}}/cub200/'
_dataset = dict(type='allinone.IdentityDataset', _scope_='mmpretrain', data_prefix=_root)
cub200 = dict(
    num_classes=100, score={'recall1': 1},
    train_dataloader=dict(
        batch_size=64, num_workers=4,
        sampler=dict(type='IdentitySampler', identities=16, images_per_identity=4),
        dataset=dict(
            **_dataset, ann_file=_root + 'train.txt',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0)),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='RandomErasing', erase_prob=0.25),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'test.txt', test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='ResizeEdge', scale=256, edge='short'),
                dict(type='CenterCrop', crop_size=224),
                dict(type='PackInputs')])),
    # Each image is searched among all others.
    val_evaluator=dict(type='RecallAtK', ks=(1, 2, 4, 8)))
del _root, _dataset  # only the data set itself is inherited
