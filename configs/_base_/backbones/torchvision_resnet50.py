# ResNet-50 of torchvision. Another model of torchvision is another model_name.
# Maps: 256 channels at stride 4, 512 at 8, 1024 at 16, 2048 at 32.
# Weights: torchvision://resnet50 (BSD-3-Clause of the library), by
#     init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='TorchvisionBackbone', model_name='resnet50'))
