# The second half of UniNet's recipe: single-task models, whose backbones tools/compose.py averaged,
# go on together for a while at a low rate. docs/reuse.md has the commands.
_base_ = './mobilenetv2_joint.py'

load_from = 'work_dirs/composed.pth'
train_cfg = dict(max_iters=280, val_interval=140)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=280, T_max=250, eta_min=0)]
default_hooks = dict(checkpoint=dict(interval=140))
