# ConvNeXt-L.
# Maps: 192 channels at stride 4, 384 at 8, 768 at 16, 1536 at 32.
# Weights: convnext-large_in21k-pre_3rdparty_in1k (Meta's, MIT), by init_cfg as in convnext_t.py
_base_ = './convnext_t.py'

model = dict(backbone=dict(arch='large', drop_path_rate=0.4))
