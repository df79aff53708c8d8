# A fourth task on a data set of its own: kinds of signs beside the toy demo's three tasks.
_base_ = ['./mobilenetv2_toy.py', '../_base_/datasets/toy_signs.py']

model = dict(tasks=dict(signs=dict(copy_of='det')))
data = dict(signs={{_base_.toy_signs}})
