# The joint model, with the three single-task models as its teachers. docs/distillation.md has the
# commands.
_base_ = './mobilenetv2_joint.py'

model = dict(
    distill=dict(
        teacher=dict(
            cls=dict(config='configs/traffic_mini/mobilenetv2_cls.py',
                     checkpoint='work_dirs/mobilenetv2_cls/iter_1200.pth'),
            det=dict(config='configs/traffic_mini/mobilenetv2_det.py',
                     checkpoint='work_dirs/mobilenetv2_det/iter_1200.pth'),
            seg=dict(config='configs/traffic_mini/mobilenetv2_seg.py',
                     checkpoint='work_dirs/mobilenetv2_seg/iter_1200.pth')),
        losses=dict(
            cls=dict(logits=dict(type='LogitDistillation', temperature=4)),
            det=dict(neck=dict(type='FeatureImitation'), scores=dict(type='ScoreDistillation')),
            seg=dict(logits=dict(type='LogitDistillation', temperature=2)))))
