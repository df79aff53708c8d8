# MiT-B3.
# Maps: 64 channels at stride 4, 128 at 8, 320 at 16, 512 at 32.
# Weights: mit_b3_20220624-13b1141c.pth (NVIDIA's; its Source Code License, research or evaluation
#     only), by init_cfg as in mit_b0.py
_base_ = './mit_b0.py'

model = dict(backbone=dict(embed_dims=64, num_layers=[3, 4, 18, 3]))
