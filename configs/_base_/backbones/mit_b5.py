# MiT-B5.
# Maps: 64 channels at stride 4, 128 at 8, 320 at 16, 512 at 32.
# Weights: mit_b5_20220624-658746d9.pth (NVIDIA's; its Source Code License, research or evaluation
#     only), by init_cfg as in mit_b0.py
_base_ = './mit_b0.py'

model = dict(backbone=dict(embed_dims=64, num_layers=[3, 6, 40, 3]))
