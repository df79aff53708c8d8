# RegNetX-400MF.
# Maps: 32 channels at stride 4, 64 at 8, 160 at 16, 384 at 32.
# Weights: regnetx-400mf_8xb128_in1k (Apache-2.0 of mmpretrain, no licence of their own), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    # Its weights are of BGR images.
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False),
    backbone=dict(
        type='mmpretrain.RegNet', arch='regnetx_400mf', out_indices=(0, 1, 2, 3)))
