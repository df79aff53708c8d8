# ConvNeXt-B.
# Maps: 128 channels at stride 4, 256 at 8, 512 at 16, 1024 at 32.
# Weights: convnext-base_in21k-pre_3rdparty_in1k (Meta's, MIT), by init_cfg as in convnext_t.py
_base_ = './convnext_t.py'

model = dict(backbone=dict(arch='base', drop_path_rate=0.4))
