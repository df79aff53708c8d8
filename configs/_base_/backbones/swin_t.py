# Swin-T. Tables of other windows (window_size) are resized when weights are read.
# Maps: 96 channels at stride 4, 192 at 8, 384 at 16, 768 at 32.
# Weights: swin-tiny_16xb64_in1k (Apache-2.0 of mmpretrain, no licence of their own) or
#     swin-tiny_3rdparty_in1k (Microsoft's, MIT), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.SwinTransformer', arch='tiny', out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3, pad_small_map=True))
