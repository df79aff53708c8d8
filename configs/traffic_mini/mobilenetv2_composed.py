# The second half of UniNet's recipe: single-task models, whose backbones tools/compose.py averaged,
# go on together for a while at a low rate. docs/reuse.md has the commands.
_base_ = './mobilenetv2_joint.py'

load_from = 'work_dirs/composed.pth'
train_cfg = dict(max_iters=280, warmup=30 / 280)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
