# Swin-V2-B, windows of 8.
# Maps: 128 channels at stride 4, 256 at 8, 512 at 16, 1024 at 32.
# Weights: swinv2-base-w8_3rdparty_in1k-256px (Microsoft's, MIT), by init_cfg as in swinv2_t.py
_base_ = './swinv2_t.py'

model = dict(backbone=dict(arch='base'))
