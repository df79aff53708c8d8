# The demo with batch norm: `tools/benchmark.py bn` shows what alternating tasks does to it.
_base_ = './mobilenetv2_toy.py'

model = dict(backbone=dict(norm_cfg=dict(_delete_=True, type='BN', requires_grad=True)))
