# GTSRB traffic signs, 43 classes, as a Track 1 picture list
_root = '{{$ALLINONE_DATA:data}}/traffic_mini/cls/'
_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 96), interpolation='bicubic'),
]
_classes = [str(number) for number in range(43)]
traffic_mini_cls = dict(
    num_classes=43,
    train_dataloader=dict(
        batch_size=64,
        num_workers=1,
        dataset=dict(
            type='allinone.PictureList', _scope_='mmpretrain', metainfo=dict(classes=_classes),
            ann_file=_root + 'train.txt', data_prefix=_root + 'train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                # No flip: several signs are each other's mirror picture.
                dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.6, 1.0),
                     interpolation='bicubic'),
                dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=64,
        num_workers=1,
        dataset=dict(
            type='allinone.PictureList', _scope_='mmpretrain', metainfo=dict(classes=_classes),
            ann_file=_root + 'val.txt', data_prefix=_root + 'val', test_mode=True,
            pipeline=[*_pipeline, dict(type='PackInputs')])),
    val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)))
del _root, _pipeline, _classes  # only the data set itself is inherited
