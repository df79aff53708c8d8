# MobileNetV2 1.0.
# Maps: 24 channels at stride 4, 32 at 8, 96 at 16, 320 at 32, 1280 at 32.
# Weights: mobilenet-v2_8xb32_in1k (Apache-2.0 of mmpretrain, no licence of their own), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint='mobilenet-v2_8xb32_in1k')
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.MobileNetV2', out_indices=(1, 2, 4, 6, 7)))
