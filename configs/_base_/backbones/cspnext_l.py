# CSPNeXt-L of RTMDet.
# Maps: 256 channels at stride 8, 512 at 16, 1024 at 32.
# Weights: rtmdet_l_8xb32-300e_coco (Apache-2.0 of mmdet, no licence of their own), the backbone
#     of a detector, by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    # Its weights are of BGR images.
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False),
    backbone=dict(
        type='mmdet.CSPNeXt', arch='P5', deepen_factor=1, widen_factor=1, expand_ratio=0.5,
        channel_attention=True, out_indices=(2, 3, 4), norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True)))
