# ResNet-18.
# Maps: 64 channels at stride 4, 128 at 8, 256 at 16, 512 at 32.
# Weights: resnet18_8xb32_in1k (Apache-2.0 of mmpretrain, no licence of their own), by init_cfg as
#     in resnet50.py
_base_ = './resnet50.py'

model = dict(backbone=dict(depth=18))
