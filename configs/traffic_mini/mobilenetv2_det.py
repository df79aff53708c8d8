# Only detection, with the joint config's backbone, head, images and schedule.
_base_ = './mobilenetv2_joint.py'

model = dict(balancer=dict(_delete_=True, type='FixedWeights'),
             tasks=dict(_delete_=True, det={{_base_.model.tasks.det}}))
train_dataloader = dict(_delete_=True, det={{_base_.train_dataloader.det}})
val_dataloader = dict(_delete_=True, det={{_base_.val_dataloader.det}})
val_evaluator = dict(_delete_=True, det={{_base_.val_evaluator.det}})
test_dataloader = dict(_delete_=True, det={{_base_.val_dataloader.det}})
test_evaluator = dict(_delete_=True, det={{_base_.val_evaluator.det}})
val_cfg = dict(score=dict({'det/bbox_mAP_50': 100}, _delete_=True))
test_cfg = dict(score=dict({'det/bbox_mAP_50': 100}, _delete_=True))
