# Mask2Former (arXiv:2112.01527) for semantic segmentation as mmseg's
# mask2former_r50_8xb2-160k_ade20k-512x512.py. Its norms are group norm and layer norm. The loss has
# a weight a class and one of no object, so 150 classes stand here; all three follow the data.
_attention = dict(embed_dims=256, num_heads=8, attn_drop=0.0, proj_drop=0.0, dropout_layer=None,
                  batch_first=True)
mask2former = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
    decode_head=dict(
        type='Mask2FormerHead', feat_channels=256, out_channels=256, num_classes=150,
        num_queries=100, num_transformer_feat_level=3, align_corners=False,
        pixel_decoder=dict(
            type='mmdet.MSDeformAttnPixelDecoder', num_outs=3,
            norm_cfg=dict(type='GN', num_groups=32), act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(
                        embed_dims=256, num_heads=8, num_levels=3, num_points=4, dropout=0.0,
                        batch_first=True),
                    ffn_cfg=dict(
                        embed_dims=256, feedforward_channels=1024, num_fcs=2, ffn_drop=0.0,
                        act_cfg=dict(type='ReLU', inplace=True)))),
            positional_encoding=dict(num_feats=128, normalize=True)),
        enforce_decoder_input_project=False,
        positional_encoding=dict(num_feats=128, normalize=True),
        transformer_decoder=dict(
            return_intermediate=True, num_layers=9,
            layer_cfg=dict(
                self_attn_cfg=_attention, cross_attn_cfg=_attention,
                ffn_cfg=dict(
                    embed_dims=256, feedforward_channels=2048, num_fcs=2, ffn_drop=0.0,
                    act_cfg=dict(type='ReLU', inplace=True), dropout_layer=None,
                    add_identity=True))),
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=2.0, reduction='mean',
            class_weight=[1.0] * 150 + [0.1]),
        loss_mask=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='mean', loss_weight=5.0),
        loss_dice=dict(
            type='mmdet.DiceLoss', use_sigmoid=True, activate=True, reduction='mean',
            naive_dice=True, eps=1.0, loss_weight=5.0),
        train_cfg=dict(
            num_points=12544, oversample_ratio=3.0, importance_sample_ratio=0.75,
            assigner=dict(
                type='mmdet.HungarianAssigner',
                match_costs=[
                    dict(type='mmdet.ClassificationCost', weight=2.0),
                    dict(type='mmdet.CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                    dict(type='mmdet.DiceCost', weight=5.0, pred_act=True, eps=1.0)]),
            sampler=dict(type='mmdet.MaskPseudoSampler'))),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
# For backbones of one stride (plain vision transformers)
mask2former_vit = dict(
    mask2former, neck=dict(type='allinone.SimpleFeaturePyramid', out_channels=256))
del _attention  # only the tasks are inherited
