# ConvNeXt-V2-B.
# Maps: 128 channels at stride 4, 256 at 8, 512 at 16, 1024 at 32.
# Weights: convnext-v2-base_fcmae-in21k-pre_3rdparty_in1k (Meta's; CC-BY-NC-4.0, not commercial),
#     by init_cfg as in convnextv2_t.py
_base_ = './convnextv2_t.py'

model = dict(backbone=dict(arch='base', drop_path_rate=0.2))
