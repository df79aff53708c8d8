# Tasks on all feature maps of models/convnext_t.py, as in
# model = dict(tasks=dict(signs={{_base_.convnext_t.rtmdet}})). Numbers of classes follow the data;
# these are of Track 1 (cls 196, det 45, seg 19).
_gn = dict(type='GN', num_groups=32)
_silu = dict(type='SiLU', inplace=True)
_rtmdet = dict(
    type='mmdet.RTMDet', feature_indices=(1, 2, 3), use_syncbn=False,
    neck=dict(type='CSPNeXtPAFPN', in_channels=[192, 384, 768], out_channels=192,
              num_csp_blocks=2, expand_ratio=0.5, norm_cfg=_gn, act_cfg=_silu),
    train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
                   allowed_border=-1, pos_weight=-1, debug=False))
_head = dict(
    num_classes=45, in_channels=192, feat_channels=192, stacked_convs=2,
    anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
    bbox_coder=dict(type='DistancePointBBoxCoder'),
    loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
    loss_bbox=dict(type='GIoULoss', loss_weight=2.0), share_conv=True, pred_kernel_size=1,
    norm_cfg=_gn, act_cfg=_silu)
_upernet = dict(
    num_classes=19, norm_cfg=dict(**_gn, requires_grad=True), align_corners=False)
convnext_t = dict(
    linear_cls=dict(
        type='mmpretrain.ImageClassifier', feature_indices=(3,),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=196, in_channels=768,
                  loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'))),
    rtmdet=dict(
        **_rtmdet,
        bbox_head=dict(type='RTMDetSepBNHead', **_head, with_objectness=False, exp_on_reg=True),
        test_cfg=dict(nms_pre=3000, min_bbox_size=0, score_thr=0.001,
                      nms=dict(type='nms', iou_threshold=0.65), max_per_img=300)),
    # Boxes with instance masks
    rtmdet_ins=dict(
        **_rtmdet,
        bbox_head=dict(type='RTMDetInsSepBNHead', **_head,
                       loss_mask=dict(type='DiceLoss', loss_weight=2.0, eps=5e-6,
                                      reduction='mean')),
        test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
                      nms=dict(type='nms', iou_threshold=0.6), max_per_img=100,
                      mask_thr_binary=0.5)),
    upernet=dict(
        type='mmseg.EncoderDecoder', feature_indices=(0, 1, 2, 3),
        data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
        decode_head=dict(
            type='UPerHead', in_channels=[96, 192, 384, 768], in_index=[0, 1, 2, 3],
            pool_scales=(1, 2, 3, 6), channels=256, dropout_ratio=0.1,
            # With batch norm the pooled 1 x 1 map needs batches of two or more.
            **_upernet, loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
        auxiliary_head=dict(
            type='FCNHead', in_channels=384, in_index=2, channels=256, num_convs=1,
            concat_input=False, dropout_ratio=0.1, **_upernet,
            loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4)),
        train_cfg=dict(), test_cfg=dict(mode='whole')))
del _gn, _silu, _rtmdet, _head, _upernet  # only the tasks are inherited
