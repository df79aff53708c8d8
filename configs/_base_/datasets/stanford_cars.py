# Stanford Cars, 196 classes, test as val (tools/convert.py stanford_cars)
_root = '{{$ALLINONE_DATA:data}}/stanford_cars/'
_dataset = dict(
    type='allinone.ImageListDataset', _scope_='mmpretrain', classes=_root + 'classes.txt')
stanford_cars = dict(
    num_classes=196, score={'top1': 1},
    train_dataloader=dict(
        batch_size=16, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.txt', data_prefix=_root + 'train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=510),
                dict(type='RandomCrop', crop_size=448),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=16, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.txt', data_prefix=_root + 'val', test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=510),
                dict(type='CenterCrop', crop_size=448),
                dict(type='PackInputs')])),
    val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)))
del _root, _dataset  # only the data set itself is inherited
