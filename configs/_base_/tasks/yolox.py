# YOLOX (arXiv:2107.08430) as mmdet's yolox_l_8xb8-300e_coco.py, without its resizing of batches and
# with normalised images, as the backbone wants them. Group norm in place of batch norm, whose
# statistics need many images of the task at a time: any batch works. The neck's layers have the
# backbone's channels, which 4 groups divide in all usual backbones, and half of them.
_swish = dict(type='Swish')
yolox = dict(
    type='mmdet.YOLOX',
    neck=dict(type='YOLOXPAFPN', out_channels=256, num_csp_blocks=3, use_depthwise=False,
              upsample_cfg=dict(scale_factor=2, mode='nearest'),
              norm_cfg=dict(type='GN', num_groups=4), act_cfg=_swish),
    bbox_head=dict(
        type='YOLOXHead', feat_channels=256, stacked_convs=2, use_depthwise=False,
        norm_cfg=dict(type='GN', num_groups=32), act_cfg=_swish,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='sum', loss_weight=1.0),
        loss_bbox=dict(type='IoULoss', mode='square', eps=1e-16, reduction='sum', loss_weight=5.0),
        loss_obj=dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='sum', loss_weight=1.0),
        loss_l1=dict(type='L1Loss', reduction='sum', loss_weight=1.0)),
    train_cfg=dict(assigner=dict(type='SimOTAAssigner', center_radius=2.5)),
    test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.65)))
# For backbones of one stride (plain vision transformers)
yolox_vit = dict(
    yolox, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256, scales=(2, 1, 0.5)))
del _swish  # only the tasks are inherited
