# MobileNetV3-Large.
# Maps: 24 channels at stride 4, 40 at 8, 112 at 16, 960 at 32.
# Weights: mobilenet-v3-large_3rdparty_in1k (torchvision's, BSD-3-Clause of the library), by
#     init_cfg as in mobilenetv3_s.py
_base_ = './mobilenetv3_s.py'

model = dict(backbone=dict(arch='large', out_indices=(3, 6, 12, 16)))
