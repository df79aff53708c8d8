# Toy traffic signs (tools/make_toy_data.py), 64 x 64, 8 classes, as a Track 1 picture list
_root = '{{$ALLINONE_DATA:data}}/toy/cls/'
_dataset = dict(
    type='allinone.PictureList', _scope_='mmpretrain',
    metainfo=dict(classes=('stop', 'yield', 'limit_30', 'limit_50', 'priority', 'no_entry',
                           'turn_left', 'turn_right')))
toy_cls = dict(
    num_classes=8,
    train_dataloader=dict(
        batch_size=32, num_workers=1,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.txt', data_prefix=_root + 'train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                # No flip: it would turn left into right.
                dict(type='RandomResizedCrop', scale=64, crop_ratio_range=(0.7, 1.0)),
                dict(type='ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=32, num_workers=0,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.txt', data_prefix=_root + 'val', test_mode=True,
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')])),
    val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)))
del _root, _dataset  # only the data set itself is inherited
