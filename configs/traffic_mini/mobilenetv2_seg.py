# Only segmentation, with the joint config's backbone, head, images and schedule.
_base_ = './mobilenetv2_joint.py'

model = dict(balancer=dict(_delete_=True, type='FixedWeights'),
             tasks=dict(_delete_=True, seg={{_base_.model.tasks.seg}}))
train_dataloader = dict(_delete_=True, seg={{_base_.train_dataloader.seg}})
val_dataloader = dict(_delete_=True, seg={{_base_.val_dataloader.seg}})
val_evaluator = dict(_delete_=True, seg={{_base_.val_evaluator.seg}})
test_dataloader = dict(_delete_=True, seg={{_base_.val_dataloader.seg}})
test_evaluator = dict(_delete_=True, seg={{_base_.val_evaluator.seg}})
val_cfg = dict(score=dict({'seg/mIoU': 1}, _delete_=True))
test_cfg = dict(score=dict({'seg/mIoU': 1}, _delete_=True))
