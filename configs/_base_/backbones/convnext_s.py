# ConvNeXt-S.
# Maps: 96 channels at stride 4, 192 at 8, 384 at 16, 768 at 32.
# Weights: convnext-small_in21k-pre_3rdparty_in1k (Meta's, MIT), by init_cfg as in convnext_t.py
_base_ = './convnext_t.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
