# LFW: verification of faces by ten folds of pairs, without training data (tools/convert.py lfw)
_root = '{{$ALLINONE_DATA:data}}/lfw/'
lfw = dict(
    score={'accuracy': 1},
    val_dataloader=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            type='allinone.IdentityDataset', _scope_='mmpretrain', test_mode=True,
            ann_file=_root + 'images.txt', data_prefix=_root,
            pipeline=[
                dict(type='LoadImageFromFile'),
                # The face is in the middle of 250 x 250 pixels.
                dict(type='CenterCrop', crop_size=160),
                dict(type='Resize', scale=(112, 112)),
                dict(type='PackInputs')])),
    val_evaluator=dict(type='VerificationMetrics', pairs=_root + 'pairs.txt'))
del _root  # only the data set itself is inherited
