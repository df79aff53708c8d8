# ViT-S/16, which mmpretrain calls DeiT-S.
# Maps: 384 channels at stride 16.
# Weights: deit-small_4xb256_in1k (Apache-2.0 of mmpretrain, no licence of their own), by init_cfg
#     as in vit_b.py
_base_ = './vit_b.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(arch='deit-small'))
