# GTSRB traffic signs, 43 classes, test as val (tools/convert.py gtsrb)
_root = '{{$ALLINONE_DATA:data}}/gtsrb/'
_dataset = dict(
    type='allinone.ImageListDataset', _scope_='mmpretrain', classes=_root + 'classes.txt')
gtsrb = dict(
    num_classes=43, score={'top1': 1},
    train_dataloader=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'train.txt', data_prefix=_root + 'train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                # No flip: several signs are each other's mirror image.
                dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.6, 1.0),
                     interpolation='bicubic'),
                dict(type='ColorJitter', brightness=0.7, contrast=0.7, saturation=0.7),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            **_dataset, ann_file=_root + 'val.txt', data_prefix=_root + 'val', test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(96, 96), interpolation='bicubic'),
                dict(type='PackInputs')])),
    val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)))
del _root, _dataset  # only the data set itself is inherited
