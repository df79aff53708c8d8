# MiT-B0, the backbone of SegFormer.
# Maps: 32 channels at stride 4, 64 at 8, 160 at 16, 256 at 32.
# Weights: mit_b0_20220624-7e0fe6dd.pth (NVIDIA's; its Source Code License, research or evaluation
#     only), by
#     init_cfg=dict(type='Pretrained', checkpoint=URL), whose URL is in mmseg's configs/segformer
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmseg.MixVisionTransformer', embed_dims=32, num_layers=[2, 2, 2, 2],
        num_heads=[1, 2, 5, 8], sr_ratios=[8, 4, 2, 1], out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1))
