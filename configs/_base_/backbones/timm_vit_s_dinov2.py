# ViT-S/14 of DINOv2, of timm (pip install 'allinone[timm]'). Another model of timm is another
# model_name: tools/features.py timm:NAME lists its maps and the licence of its weights.
# Maps: 384 channels at stride 14.
# Weights: vit_small_patch14_dinov2.lvd142m (Meta's, Apache-2.0), downloaded from the Hugging Face
#     hub, by
#     init_cfg=dict(type='Pretrained', checkpoint='model.safetensors')
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='TimmBackbone', model_name='vit_small_patch14_dinov2.lvd142m', norm=True))
