# The tasks of traffic_mini, and retrieval of sign tracks: signs, boxes, label maps and embeddings
# from one MobileNetV2.
_base_ = ['../traffic_mini/mobilenetv2_joint.py', '../_base_/datasets/traffic_mini_tracks.py']

model = dict(
    tasks=dict(
        tracks=dict(
            type='allinone.EmbeddingModel', feature_indices=(4,),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(
                type='EmbeddingHead', in_channels=1280,
                losses=[dict(type='SoftmaxLoss', smoothing=0.1),
                        dict(type='TripletLoss', margin=0.3)]))))
data = dict(tracks={{_base_.traffic_mini_tracks}})
# At the full rate the features of ImageNet are lost before the few images of a track replace them
# (docs/results/retrieval.md).
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}))
