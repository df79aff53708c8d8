# What all recipes for Track 1 share: its three data sets under the names cls, det and seg, and its
# score, the mean of top-1, mAP50 and mIoU in percent.
_base_ = ['./default_runtime.py', './datasets/track1.py']

data = dict(cls={{_base_.track1.cls}}, det={{_base_.track1.det}}, seg={{_base_.track1.seg}})
