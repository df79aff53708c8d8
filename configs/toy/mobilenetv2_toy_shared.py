# Four tasks on the same images: boxes, class maps, the road and the scene. One source gives each
# image once with the labels that it has.
_base_ = ['./mobilenetv2_toy.py', '../_base_/datasets/toy_street.py']

model = dict(tasks=dict(drivable=dict(copy_of='seg', num_classes=2)))

train_dataloader = dict(_delete_=True, street={{_base_.toy_street.train_dataloader}})
val_dataloader = dict(_delete_=True, street={{_base_.toy_street.val_dataloader}})
val_evaluator = {{_base_.toy_street.val_evaluator}}
test_dataloader = val_dataloader
test_evaluator = val_evaluator
val_cfg = dict(score={'drivable/mIoU': 1})
test_cfg = dict(score={'drivable/mIoU': 1})
