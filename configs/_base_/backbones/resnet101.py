# ResNet-101.
# Maps: 256 channels at stride 4, 512 at 8, 1024 at 16, 2048 at 32.
# Weights: resnet101_8xb32_in1k (Apache-2.0 of mmpretrain, no licence of their own), by init_cfg
#     as in resnet50.py
_base_ = './resnet50.py'

model = dict(backbone=dict(depth=101))
