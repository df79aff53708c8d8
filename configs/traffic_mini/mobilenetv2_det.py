# Only detection, with the joint config's backbone, head, images and schedule.
_base_ = './mobilenetv2_joint.py'

model = dict(balancer=dict(_delete_=True, type='FixedWeights'),
             tasks=dict(_delete_=True, det={{_base_.model.tasks.det}}))
data = dict(_delete_=True, det={{_base_.data.det}})
