# What all recipes for Track 1 share: its three data sets under the names cls, det and seg, and its
# score, the mean of top-1, mAP50 and mIoU in percent.
_base_ = ['./default_runtime.py', './datasets/track1.py']

train_dataloader = dict(
    cls={{_base_.track1.cls.train_dataloader}},
    det={{_base_.track1.det.train_dataloader}},
    seg={{_base_.track1.seg.train_dataloader}})
val_dataloader = dict(
    cls={{_base_.track1.cls.val_dataloader}},
    det={{_base_.track1.det.val_dataloader}},
    seg={{_base_.track1.seg.val_dataloader}})
val_evaluator = dict(
    cls={{_base_.track1.cls.val_evaluator}},
    det={{_base_.track1.det.val_evaluator}},
    seg={{_base_.track1.seg.val_evaluator}})
test_dataloader = val_dataloader
test_evaluator = val_evaluator
val_cfg = dict(score={'cls/top1': 1, 'det/bbox_mAP_50': 100, 'seg/mIoU': 1})
test_cfg = dict(score={'cls/top1': 1, 'det/bbox_mAP_50': 100, 'seg/mIoU': 1})
