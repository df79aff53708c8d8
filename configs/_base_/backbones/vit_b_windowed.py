# ViT-B/16 with attention in windows of 14 x 14 and in the full image in layers 2, 5, 8 and 11
# (ViTDet), so that large images cost less. Else as vit_b.py.
# Maps: 768 channels at stride 16.
# Weights: vit-base-p16_sam-pre_3rdparty_sa1b-1024px (Meta's SAM, Apache-2.0), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.ViTSAM', arch='base', img_size=1024, patch_size=16, window_size=14,
        out_channels=0, out_type='featmap', use_rel_pos=True, drop_path_rate=0.1))
