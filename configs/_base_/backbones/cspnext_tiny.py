# CSPNeXt-tiny of RTMDet.
# Maps: 96 channels at stride 8, 192 at 16, 384 at 32.
# Weights: rtmdet_tiny_8xb32-300e_coco (Apache-2.0 of mmdet, no licence of their own), by init_cfg
#     as in cspnext_l.py
_base_ = './cspnext_l.py'

model = dict(backbone=dict(deepen_factor=0.167, widen_factor=0.375))
