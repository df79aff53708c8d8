# Swin-B, windows of 12.
# Maps: 128 channels at stride 4, 256 at 8, 512 at 16, 1024 at 32.
# Weights: swin-base_in21k-pre-3rdparty_in1k-384 (Microsoft's, MIT), by init_cfg as in swin_t.py
_base_ = './swin_t.py'

model = dict(backbone=dict(arch='base', img_size=384, window_size=12))
