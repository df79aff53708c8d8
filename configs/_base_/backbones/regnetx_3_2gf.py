# RegNetX-3.2GF.
# Maps: 96 channels at stride 4, 192 at 8, 432 at 16, 1008 at 32.
# Weights: regnetx-3.2gf_8xb64_in1k (Apache-2.0 of mmpretrain, no licence of their own), by
#     init_cfg as in regnetx_400mf.py
_base_ = './regnetx_400mf.py'

model = dict(backbone=dict(arch='regnetx_3.2gf'))
