# EfficientNet-B0.
# Maps: 24 channels at stride 4, 40 at 8, 112 at 16, 1280 at 32.
# Weights: efficientnet-b0_3rdparty_8xb32_in1k (Google's; Apache-2.0 as timm lists them), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.EfficientNet', arch='b0', out_indices=(2, 3, 4, 6)))
