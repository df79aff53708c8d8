# Any number of labels an image, on the globally pooled last feature map, as mmpretrain's configs of
# VOC: a sigmoid and a binary cross-entropy a class
multi_label = dict(
    type='mmpretrain.ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='MultiLabelLinearClsHead',
              loss=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)))
