"""Samples that stand for images without labels of a task."""

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.models.losses import SiLogLoss
from mmseg.structures import SegDataSample

from allinone.registry import TASK_KINDS

SHAPE = dict(img_shape=(4, 6))


def set_no_labels(kind, sample, like):
    TASK_KINDS.get(kind)().set_no_labels(sample, like)
    return {name: value for name, value in sample.items() if isinstance(value, PixelData)}


def test_the_label_map_of_a_detector_is_under_the_name_of_its_library():
    # mmdet's packer names the map sem_seg, mmseg's data.
    like = DetDataSample(
        metainfo=dict(img_shape=(8, 8)),
        gt_instances=InstanceData(bboxes=torch.zeros(1, 4), labels=torch.zeros(1).long()),
        gt_sem_seg=PixelData(sem_seg=torch.full((1, 8, 8), 7, dtype=torch.uint8)),
    )
    found = set_no_labels('detection', DetDataSample(metainfo=SHAPE), like)
    assert list(found) == ['gt_sem_seg'] and found['gt_sem_seg'].keys() == ['sem_seg']
    labels = found['gt_sem_seg'].sem_seg
    assert labels.dtype == torch.uint8 and labels.tolist() == [[[0] * 6] * 4]


def test_all_label_maps_of_a_sample_are_matched():
    like = SegDataSample(
        metainfo=dict(img_shape=(8, 8)),
        gt_sem_seg=PixelData(data=torch.full((1, 8, 8), 3)),
        gt_edge_map=PixelData(data=torch.ones(1, 8, 8, dtype=torch.uint8)),
    )
    like.several = PixelData(left=torch.ones(2, 8, 8), right=torch.ones(3, 8, 8).short())
    found = set_no_labels('segmentation', SegDataSample(metainfo=SHAPE), like)
    assert set(found) == {'gt_sem_seg', 'gt_edge_map', 'several'}
    assert found['gt_sem_seg'].data.dtype == torch.int64
    assert found['gt_edge_map'].data.dtype == torch.uint8
    assert found['gt_edge_map'].data.shape == (1, 4, 6) and not found['gt_edge_map'].data.any()
    assert found['several'].left.shape == (2, 4, 6) and found['several'].right.shape == (3, 4, 6)
    assert found['several'].right.dtype == torch.int16


def test_depth_maps_have_a_finite_loss_and_gradient():
    like = SegDataSample(gt_depth_map=PixelData(data=torch.full((1, 8, 8), 30.0)))
    found = set_no_labels('segmentation', SegDataSample(metainfo=SHAPE), like)
    depth = torch.full((1, 4, 6), 2.0, requires_grad=True)
    loss = SiLogLoss()(depth, found['gt_depth_map'].data)
    loss.backward()
    assert loss.isfinite() and depth.grad.isfinite().all()


def test_without_a_sample_to_match_there_is_a_map_of_classes():
    found = set_no_labels('segmentation', BaseDataElement(metainfo=SHAPE), None)
    assert list(found) == ['gt_sem_seg'] and found['gt_sem_seg'].data.shape == (1, 4, 6)
