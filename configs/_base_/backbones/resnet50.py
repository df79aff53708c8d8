# ResNet-50. Its layers have the names of torchvision's, so weights of torchvision and timm load
# too, then without prefix.
# Maps: 256 channels at stride 4, 512 at 8, 1024 at 16, 2048 at 32.
# Weights: resnet50_8xb32_in1k (Apache-2.0 of mmpretrain, no licence of their own), by
#     init_cfg=dict(type='Pretrained', prefix='backbone', checkpoint=NAME)
# For other batches than ImageNet's, norm_eval=True keeps the statistics of the weights.
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmpretrain.ResNet', depth=50, out_indices=(0, 1, 2, 3), style='pytorch'))
