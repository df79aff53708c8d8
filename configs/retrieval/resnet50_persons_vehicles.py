# Persons and vehicles on one backbone, with the switches of VIMER-UFO (2207.10341): each task has
# its own learning rate, margin and scale, and statistics of its own behind the backbone (the
# batch norm of its head); those of the backbone stay ImageNet's, because batches of one task at a
# time would each pull them their own way. Not run here.
_base_ = ['./resnet50_market1501.py', '../_base_/datasets/veri776.py']

model = dict(
    backbone=dict(norm_eval=True),
    tasks=dict(
        persons=dict(head=dict(losses=[
            dict(type='CosFaceLoss', margin=0.35, scale=30),
            dict(type='TripletLoss', margin=0.3)])),
        vehicles={{_base_.embedding}}))
data = dict(vehicles={{_base_.veri776}})
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={
    'tasks.persons': dict(lr_mult=10), 'tasks.vehicles': dict(lr_mult=10)}))
