"""Images with annotations for ``tests/sweep.py``."""

import re

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

BATCH = 2


def images(size: int, channels: int = 3):
    generator = torch.Generator().manual_seed(0)
    shape = (channels, size, size)
    return [
        torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(BATCH)
    ]


def batch(kind, cfg, classes: int | None, size: int) -> dict:
    """Two annotated images as a data loader of the kind of task gives them."""
    make = dict(mmdet=_detection, mmseg=_segmentation, mmpretrain=_classification)[kind.library]
    samples = [make(cfg, classes or 1, size, index) for index in range(BATCH)]
    return dict(inputs=images(size), data_samples=samples)


def _metainfo(size: int, index: int) -> dict:
    shape = (size, size)
    return dict(
        img_id=index,
        img_path=f'{index}.jpg',
        ori_shape=shape,
        img_shape=shape,
        pad_shape=shape,
        batch_input_shape=shape,
        scale_factor=(1.0, 1.0),
        flip=False,
    )


def _detection(cfg, classes: int, size: int, index: int):
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    parts = torch.tensor([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.8], [0.6, 0.05, 0.95, 0.4]])
    boxes = (parts * size).round()
    masks = np.zeros((3, size, size), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
        mask[top:bottom, left:right] = 1
    sample = DetDataSample(metainfo=_metainfo(size, index))
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(boxes),
        labels=torch.arange(3) % classes,
    )
    text = str(cfg.to_dict())
    if "'with_mask': True" in text or 'mask_head' in text:
        sample.gt_instances.masks = BitmapMasks(masks, size, size)
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0, dtype=torch.long)
    )
    sample.proposals = InstanceData(bboxes=boxes.clone(), scores=torch.ones(3))
    if "'with_seg': True" in text or 'semantic_head' in text:
        shrunk = re.search(r"'SegRescale', 'scale_factor': ([\d.]+)", text)
        side = int(size * float(shrunk.group(1))) if shrunk else size
        things = re.search(r"'num_things_classes': (\d+)", text)
        stuff = int(things.group(1)) if things and 'Former' in cfg.model.type else 1
        labels = torch.full((1, side, side), stuff)
        labels[:, : side // 4] = 255
        sample.gt_sem_seg = PixelData(sem_seg=labels)
    return sample


def _segmentation(cfg, classes: int, size: int, index: int):
    from mmseg.structures import SegDataSample

    labels = torch.zeros(1, size, size, dtype=torch.long)
    labels[:, size // 4 :, size // 2 :] = min(1, max(1, classes - 1))
    labels[:, : size // 8] = 255
    sample = SegDataSample(metainfo=_metainfo(size, index))
    sample.gt_sem_seg = PixelData(data=labels)
    sample.gt_edge_map = PixelData(data=(labels == 1).long())
    sample.gt_depth_map = PixelData(data=labels.float() + 1)
    return sample


def _classification(cfg, classes: int, size: int, index: int):
    from mmpretrain.structures import DataSample

    sample = DataSample(metainfo=_metainfo(size, index))
    several = 'MultiLabel' in str(cfg.model.head.get('type')) or 'CSRA' in str(cfg.model.head)
    labels = index % classes
    return sample.set_gt_label([labels] if several else labels)
