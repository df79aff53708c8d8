# ViT-L/16.
# Maps: 1024 channels at stride 16.
# Weights: vit-large-p16_in21k-pre_3rdparty_in1k-384px (Google's; Apache-2.0 as timm lists them),
#     by init_cfg as in vit_b.py
_base_ = './vit_b.py'

model = dict(backbone=dict(arch='large', drop_path_rate=0.2))
