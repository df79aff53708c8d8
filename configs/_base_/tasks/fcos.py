# FCOS (arXiv:1904.01355) with the later recipe of mmdet's
# fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py. Its norm is group norm.
fcos = dict(
    type='mmdet.FCOS',
    neck=dict(type='FPN', out_channels=256, add_extra_convs='on_output',
              relu_before_extra_convs=True),
    bbox_head=dict(
        type='FCOSHead', feat_channels=256, stacked_convs=4,
        norm_cfg=dict(type='GN', num_groups=32, requires_grad=True),
        center_sampling=True, norm_on_bbox=True, centerness_on_reg=True, conv_bias=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
                  nms=dict(type='nms', iou_threshold=0.6), max_per_img=100))
# For backbones of one stride (plain vision transformers)
fcos_vit = dict(
    fcos, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256, scales=(2, 1, 0.5),
                    num_extra=2))
