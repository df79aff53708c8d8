# A fourth task on a data set of its own: kinds of signs beside the toy demo's three tasks.
_base_ = ['./mobilenetv2_toy.py', '../_base_/datasets/toy_signs.py']

model = dict(tasks=dict(signs={{_base_.model.tasks.det}}))
train_dataloader = dict(signs={{_base_.toy_signs.train_dataloader}})
val_dataloader = dict(signs={{_base_.toy_signs.val_dataloader}})
val_evaluator = dict(signs={{_base_.toy_signs.val_evaluator}})
test_dataloader = dict(signs={{_base_.toy_signs.val_dataloader}})
test_evaluator = dict(signs={{_base_.toy_signs.val_evaluator}})
val_cfg = dict(score={'signs/bbox_mAP_50': 100})
test_cfg = dict(score={'signs/bbox_mAP_50': 100})
