# ViT-B/16: one map. Detectors and segmentors take it by neck=dict(type='SimpleFeaturePyramid').
# Its position embeddings are resized to the images, and when weights are read.
# Maps: 768 channels at stride 16.
# Weights: vit-base-p16_in21k-pre_3rdparty_in1k-384px (Google's; Apache-2.0 as timm lists them),
#     by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
model = dict(
    type='AllInOne',
    # Of these weights; those of DeiT and MAE have ImageNet's mean and deviation (vit_s.py).
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16,
        out_type='featmap', drop_path_rate=0.1))
