# ImageNet-1k, 1000 classes, 224 x 224 as in mmpretrain's imagenet_bs64.py. train/ and val/ have a
# folder a class, or meta/train.txt and meta/val.txt list their images (docs/datasets/imagenet.md).
_root = '{{$ALLINONE_DATA:data}}/imagenet'
imagenet = dict(
    num_classes=1000, score={'top1': 1},
    train_dataloader=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            type='mmpretrain.ImageNet', data_root=_root, split='train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomResizedCrop', scale=224),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='PackInputs')])),
    val_dataloader=dict(
        batch_size=64, num_workers=4,
        dataset=dict(
            type='mmpretrain.ImageNet', data_root=_root, split='val', test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='ResizeEdge', scale=256, edge='short'),
                dict(type='CenterCrop', crop_size=224),
                dict(type='PackInputs')])),
    val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 5)))
del _root  # only the data set itself is inherited
