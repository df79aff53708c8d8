# MobileNetV2 of mobilenetv2.py with the weights and the batch norm statistics of ImageNet
_base_ = './mobilenetv2.py'

model = dict(
    backbone=dict(
        norm_eval=True,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/mobilenet_v2_imagenet.pth')),
    channels_last=True)
