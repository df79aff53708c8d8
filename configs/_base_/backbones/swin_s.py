# Swin-S.
# Maps: 96 channels at stride 4, 192 at 8, 384 at 16, 768 at 32.
# Weights: swin-small_3rdparty_in1k (Microsoft's, MIT), by init_cfg as in swin_t.py
_base_ = './swin_t.py'

model = dict(backbone=dict(arch='small'))
