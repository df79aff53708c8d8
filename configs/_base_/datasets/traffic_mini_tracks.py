# Instance retrieval of traffic signs: three frames of each of 888 tracks (tools/convert.py
# traffic_mini)
_root = '{{$ALLINONE_DATA:data}}/traffic_mini/cls/'
traffic_mini_tracks = dict(
    num_classes=667, score={'recall1': 1},
    train_dataloader=dict(
        batch_size=48, num_workers=1,
        # Three images of each of 16 tracks
        sampler=dict(type='IdentitySampler', identities=16, images_per_identity=3),
        dataset=dict(
            type='allinone.IdentityDataset', _scope_='mmpretrain',
            ann_file=_root + 'train_tracks.txt', data_prefix=_root,
            pipeline=[
                dict(type='LoadImageFromFile'),
                # No flip: several signs are each other's mirror image.
                dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.6, 1.0),
                     interpolation='bicubic'),
                dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=64, num_workers=1,
        dataset=dict(
            type='allinone.IdentityDataset', _scope_='mmpretrain', test_mode=True,
            ann_file=_root + 'val_tracks.txt', data_prefix=_root,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(112, 112), interpolation='bicubic'),
                dict(type='PackInputs')])),
    # Each image is searched among all others.
    val_evaluator=dict(type='RecallAtK', ks=(1, 2, 4, 8)))
del _root  # only the data set itself is inherited
