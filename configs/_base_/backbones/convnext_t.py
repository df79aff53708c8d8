# ConvNeXt-T.
# Maps: 96 channels at stride 4, 192 at 8, 384 at 16, 768 at 32.
# Weights: convnext-tiny_32xb128_in1k (Apache-2.0 of mmpretrain, no licence of their own) or
#     convnext-tiny_in21k-pre_3rdparty_in1k (Meta's, MIT), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.4,
        gap_before_final_norm=False))
