# The demo with one feature pyramid for boxes and class maps, which runs once and trains with the
# backbone. The numbers of neck and heads follow from the backbone.
_base_ = './mobilenetv2_toy.py'

model = dict(
    shared_neck=dict(tasks=('det', 'seg'), type='mmdet.FPN', out_channels=48, num_outs=4),
    tasks=dict(
        det=dict(neck=None, feature_indices='auto', bbox_head=dict(in_channels='auto')),
        seg=dict(
            feature_indices=None,
            decode_head=dict(in_channels='auto', in_index='auto', feature_strides='auto'))))
