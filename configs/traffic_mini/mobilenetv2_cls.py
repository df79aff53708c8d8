# Only classification, with the joint config's backbone, head, images and schedule.
_base_ = './mobilenetv2_joint.py'

model = dict(balancer=dict(_delete_=True, type='FixedWeights'),
             tasks=dict(_delete_=True, cls={{_base_.model.tasks.cls}}))
train_dataloader = dict(_delete_=True, cls={{_base_.train_dataloader.cls}})
val_dataloader = dict(_delete_=True, cls={{_base_.val_dataloader.cls}})
val_evaluator = dict(_delete_=True, cls={{_base_.val_evaluator.cls}})
test_dataloader = dict(_delete_=True, cls={{_base_.val_dataloader.cls}})
test_evaluator = dict(_delete_=True, cls={{_base_.val_evaluator.cls}})
val_cfg = dict(score=dict({'cls/top1': 1}, _delete_=True))
test_cfg = dict(score=dict({'cls/top1': 1}, _delete_=True))
