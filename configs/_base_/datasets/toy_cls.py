# Toy street scenes (tools/make_toy_data.py) by light and traffic, 128 x 96, 8 classes, as a
# Track 1 image list
_root = '{{$ALLINONE_DATA:data}}/toy/cls/'
_dataset = dict(
    type='allinone.ImageListDataset', _scope_='mmpretrain',
    metainfo=dict(classes=('day_quiet', 'day_busy', 'overcast_quiet', 'overcast_busy',
                           'dusk_quiet', 'dusk_busy', 'night_quiet', 'night_busy')))
toy_cls = dict(
    num_classes=8, score={'top1': 1},
    train_dataloader=dict(
        batch_size=16, num_workers=1,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.txt', data_prefix=_root + 'train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                # Little: the light is what is asked for.
                dict(type='ColorJitter', brightness=0.1, contrast=0.1, saturation=0.1),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=32, num_workers=0,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.txt', data_prefix=_root + 'val', test_mode=True,
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')])),
    val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)))
del _root, _dataset  # only the data set itself is inherited
