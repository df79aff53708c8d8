# RTMDet (arXiv:2212.07784) as mmdet's rtmdet_l_8xb32-300e_coco.py. Group norm in place of
# synchronised batch norm, whose statistics need many images of the task at a time: any batch and
# any number of GPUs works. The neck's layers have the backbone's channels, which 4 groups divide in
# all usual backbones, and half of them.
_silu = dict(type='SiLU', inplace=True)
rtmdet = dict(
    type='mmdet.RTMDet', use_syncbn=False,
    neck=dict(type='CSPNeXtPAFPN', out_channels=256, num_csp_blocks=3, expand_ratio=0.5,
              norm_cfg=dict(type='GN', num_groups=4), act_cfg=_silu),
    bbox_head=dict(
        type='RTMDetSepBNHead', feat_channels=256, stacked_convs=2,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0), with_objectness=False, exp_on_reg=True,
        share_conv=True, pred_kernel_size=1, norm_cfg=dict(type='GN', num_groups=32),
        act_cfg=_silu),
    train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
                   allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=30000, min_bbox_size=0, score_thr=0.001,
                  nms=dict(type='nms', iou_threshold=0.65), max_per_img=300))
# For backbones of one stride (plain vision transformers)
rtmdet_vit = dict(
    rtmdet, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256, scales=(2, 1, 0.5)))
# For backbones with wide maps: the neck's layers have 256 channels. On ResNet-50 it has 6.8 M
# parameters in place of 86.5 M, on MobileNetV3-Large 6.2 M in place of 11.2 M.
_gn = dict(type='GN', num_groups=32)
rtmdet_mapped = dict(
    rtmdet, neck=[
        dict(type='ChannelMapper', kernel_size=1, out_channels=256, act_cfg=None, norm_cfg=_gn),
        dict(type='CSPNeXtPAFPN', in_channels=[256, 256, 256], out_channels=256,
             num_csp_blocks=3, expand_ratio=0.5, norm_cfg=_gn, act_cfg=_silu)])
del _silu, _gn  # only the tasks are inherited
