# Mask R-CNN (arXiv:1703.06870) with a feature pyramid as mmdet's
# mask-rcnn_r50_fpn.py, whose neck and heads have no norm
_deltas = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0])
_assigner = dict(type='MaxIoUAssigner', ignore_iof_thr=-1)
_roi_align = dict(type='RoIAlign', sampling_ratio=0)
mask_rcnn = dict(
    type='mmdet.MaskRCNN',
    data_preprocessor=dict(pad_mask=True),
    neck=dict(type='FPN', out_channels=256),
    rpn_head=dict(
        type='RPNHead', feat_channels=256,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0]),
        bbox_coder=dict(**_deltas, target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(**_roi_align, output_size=7)),
        bbox_head=dict(
            type='Shared2FCBBoxHead', fc_out_channels=1024, roi_feat_size=7,
            bbox_coder=dict(**_deltas, target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_class_agnostic=False,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
        mask_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(**_roi_align, output_size=14)),
        mask_head=dict(
            type='FCNMaskHead', num_convs=4, conv_out_channels=256,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(**_assigner, pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                          match_low_quality=True),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1,
                         add_gt_as_proposals=False),
            allowed_border=-1, pos_weight=-1, debug=False),
        rpn_proposal=dict(nms_pre=2000, max_per_img=1000, min_bbox_size=0,
                          nms=dict(type='nms', iou_threshold=0.7)),
        rcnn=dict(
            assigner=dict(**_assigner, pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
                          match_low_quality=True),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1,
                         add_gt_as_proposals=True),
            mask_size=28, pos_weight=-1, debug=False)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, min_bbox_size=0,
                 nms=dict(type='nms', iou_threshold=0.7)),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100,
                  mask_thr_binary=0.5)))
# For backbones of one stride (plain vision transformers)
mask_rcnn_vit = dict(
    mask_rcnn, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256, num_extra=1))
del _deltas, _assigner, _roi_align  # only the tasks are inherited
