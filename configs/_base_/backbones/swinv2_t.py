# Swin-V2-T, windows of 8.
# Maps: 96 channels at stride 4, 192 at 8, 384 at 16, 768 at 32.
# Weights: swinv2-tiny-w8_3rdparty_in1k-256px (Microsoft's, MIT), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.SwinTransformerV2', arch='tiny', img_size=256, window_size=8,
        out_indices=(0, 1, 2, 3), drop_path_rate=0.3, pad_small_map=True))
