# RegNetX-1.6GF.
# Maps: 72 channels at stride 4, 168 at 8, 408 at 16, 912 at 32.
# Weights: regnetx-1.6gf_8xb128_in1k (Apache-2.0 of mmpretrain, no licence of their own), by
#     init_cfg as in regnetx_400mf.py
_base_ = './regnetx_400mf.py'

model = dict(backbone=dict(arch='regnetx_1.6gf'))
