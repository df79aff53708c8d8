# Swin-L, windows of 12.
# Maps: 192 channels at stride 4, 384 at 8, 768 at 16, 1536 at 32.
# Weights: swin-large_in21k-pre-3rdparty_in1k-384 (Microsoft's, MIT), by init_cfg as in swin_t.py
_base_ = './swin_t.py'

model = dict(backbone=dict(arch='large', img_size=384, window_size=12))
