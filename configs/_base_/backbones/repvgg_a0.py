# RepVGG-A0, in the form that is trained.
# Maps: 48 channels at stride 4, 96 at 8, 192 at 16, 1280 at 32.
# Weights: repvgg-A0_8xb32_in1k (Apache-2.0 of mmpretrain, no licence of their own), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.RepVGG', arch='A0', out_indices=(0, 1, 2, 3)))
