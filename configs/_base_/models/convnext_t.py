# ConvNeXt-T, pretrained. Maps: 0: 96 channels, stride 4; 1: 192, 8; 2: 384, 16; 3: 768, 32.
model = dict(
    type='AllInOne',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(
        type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.3,
        layer_scale_init_value=1.0, gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained', prefix='backbone',
            checkpoint='{{$ALLINONE_WEIGHTS:weights}}/'
                       'convnext-tiny_in21k-pre_3rdparty_in1k-384px_20221219-c1182362.pth')),
    channels_last=True)
