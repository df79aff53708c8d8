# MobileNetV3-Small.
# Maps: 16 channels at stride 4, 24 at 8, 48 at 16, 576 at 32.
# Weights: mobilenet-v3-small_3rdparty_in1k (torchvision's, BSD-3-Clause of the library), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.MobileNetV3', arch='small', out_indices=(1, 3, 8, 12)))
