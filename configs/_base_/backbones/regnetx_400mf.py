# RegNetX-400MF.
# Maps: 32 channels at stride 4, 64 at 8, 160 at 16, 384 at 32.
# Weights: regnetx-400mf_8xb128_in1k (Apache-2.0 of mmpretrain, no licence of their own), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.RegNet', arch='regnetx_400mf', out_indices=(0, 1, 2, 3)))
