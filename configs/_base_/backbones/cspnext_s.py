# CSPNeXt-S of RTMDet.
# Maps: 128 channels at stride 8, 256 at 16, 512 at 32.
# Weights: rtmdet_s_8xb32-300e_coco (Apache-2.0 of mmdet, no licence of their own), by init_cfg as
#     in cspnext_l.py
_base_ = './cspnext_l.py'

model = dict(backbone=dict(deepen_factor=0.33, widen_factor=0.5))
