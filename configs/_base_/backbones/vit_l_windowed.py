# ViT-L/16 with windowed attention but in layers 5, 11, 17 and 23.
# Maps: 1024 channels at stride 16.
# Weights: vit-large-p16_sam-pre_3rdparty_sa1b-1024px (Meta's SAM, Apache-2.0), by init_cfg as in
#     vit_b_windowed.py
_base_ = './vit_b_windowed.py'

model = dict(backbone=dict(arch='large', drop_path_rate=0.4))
