# Linear classifier on the globally pooled last feature map, as mmpretrain's resnet50.py
linear_cls = dict(
    type='mmpretrain.ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))
