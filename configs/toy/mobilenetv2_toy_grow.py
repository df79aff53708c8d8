# A fourth task on the trained toy model. Backbone and old tasks stay as they are, bit for bit.
_base_ = './mobilenetv2_toy_signs.py'

load_from = 'work_dirs/mobilenetv2_toy/iter_300.pth'
model = dict(
    frozen=('backbone', 'cls', 'det', 'seg'),
    # Optional: the new task's own changes of the backbone, for a backbone pass of its own
    tasks=dict(signs=dict(adapter=dict(type='LowRankAdapter', rank=4))))
train_dataloader = dict(_delete_=True)  # Only that of `data`: signs
