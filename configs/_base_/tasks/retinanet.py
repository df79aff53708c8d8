# RetinaNet (arXiv:1708.02002) as mmdet's retinanet_r50_fpn.py, whose neck and head have no norm
retinanet = dict(
    type='mmdet.RetinaNet',
    neck=dict(type='FPN', out_channels=256, add_extra_convs='on_input'),
    bbox_head=dict(
        type='RetinaHead', feat_channels=256, stacked_convs=4,
        anchor_generator=dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3,
                              ratios=[0.5, 1.0, 2.0]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0],
                        target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0,
                      ignore_iof_thr=-1),
        sampler=dict(type='PseudoSampler'),  # Focal loss takes all anchors.
        allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
                  nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))
# For backbones of one stride (plain vision transformers)
retinanet_vit = dict(
    retinanet, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256, scales=(2, 1, 0.5),
                         num_extra=2))
