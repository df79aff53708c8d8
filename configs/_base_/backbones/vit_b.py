# ViT-B/16: one map. Detectors and segmentors take it by neck=dict(type='SimpleFeaturePyramid').
# Its position embeddings are resized to the images, and when weights are read.
# Maps: 768 channels at stride 16.
# Weights: vit-base-p16_in21k-pre_3rdparty_in1k-384px (Google's; Apache-2.0 as timm lists them),
#     by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16,
        out_type='featmap', drop_path_rate=0.1))
