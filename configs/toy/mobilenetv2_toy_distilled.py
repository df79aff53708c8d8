# A joint model of half the toy demo's width, with the demo's model as its teacher.
_base_ = './mobilenetv2_toy.py'

model = dict(
    backbone=dict(widen_factor=0.25),
    tasks=dict(
        cls=dict(head=dict(in_channels=24)),
        det=dict(neck=dict(in_channels=[8, 24, 80])),
        seg=dict(decode_head=dict(in_channels=[8, 8, 24, 80]))),
    distill=dict(
        teacher=dict(config='configs/toy/mobilenetv2_toy.py',
                     checkpoint='work_dirs/mobilenetv2_toy/iter_300.pth'),
        losses=dict(
            cls=dict(logits=dict(type='LogitDistillation', temperature=2)),
            det=dict(neck=dict(type='FeatureImitation'), scores=dict(type='ScoreDistillation')),
            seg=dict(logits=dict(type='LogitDistillation', temperature=2)))))
