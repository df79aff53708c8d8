# ConvNeXt-T, pretrained. Maps: 0: 96 channels, stride 4; 1: 192, 8; 2: 384, 16; 3: 768, 32.
_base_ = '../backbones/convnext_t.py'

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        drop_path_rate=0.3, layer_scale_init_value=1.0,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                       'convnext-tiny_in21k-pre_3rdparty_in1k-384px_20221219-c1182362.pth')),
    channels_last=True)
