# ConvNeXt-V2-T: response normalisation instead of the layer scale.
# Maps: 96 channels at stride 4, 192 at 8, 384 at 16, 768 at 32.
# Weights: convnext-v2-tiny_fcmae-in21k-pre_3rdparty_in1k (Meta's; CC-BY-NC-4.0, not commercial),
#     by init_cfg as in convnext_t.py
_base_ = './convnext_t.py'

model = dict(backbone=dict(use_grn=True, layer_scale_init_value=0., drop_path_rate=0.2))
