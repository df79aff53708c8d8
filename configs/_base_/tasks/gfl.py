# GFL (arXiv:2006.04388) as mmdet's gfl_r50_fpn_1x_coco.py. The norm of its head is group norm.
gfl = dict(
    type='mmdet.GFL',
    neck=dict(type='FPN', out_channels=256, add_extra_convs='on_output'),
    bbox_head=dict(
        type='GFLHead', feat_channels=256, stacked_convs=4, reg_max=16,
        anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=8,
                              scales_per_octave=1),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0)),
    train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9),
                   allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
                  nms=dict(type='nms', iou_threshold=0.6), max_per_img=100))
# For backbones of one stride (plain vision transformers)
gfl_vit = dict(
    gfl, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256, scales=(2, 1, 0.5),
                   num_extra=2))
