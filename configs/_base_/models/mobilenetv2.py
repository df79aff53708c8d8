# MobileNetV2 1.0. Maps: 0: 24 channels, stride 4; 1: 32, 8; 2: 96, 16; 3: 320, 32; 4: 1280, 32.
model = dict(
    type='AllInOne',
    # RGB, ImageNet statistics
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(type='mmpretrain.MobileNetV2', out_indices=(1, 2, 4, 6, 7)))
