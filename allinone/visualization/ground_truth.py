"""What annotations say, in the form that predictions have, so that it is drawn like them."""

from collections.abc import Mapping

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData

from .draw import to_numpy


def truth_of(sample, info: Mapping | None = None) -> BaseDataElement:
    """A data sample's annotations; what it has none of is left out.

    Args:
        sample: Of mmpretrain, mmdet or mmseg.
        info: What the data set knows of the picture. Its boxes are in pixels of the file, while
            those of the sample are in pixels of what the model gets.
    """
    truth = BaseDataElement()
    if info is not None and isinstance(info.get('instances'), list):
        truth.pred_instances = _annotated(info['instances'])
    elif 'gt_instances' in sample and 'bboxes' in sample.gt_instances:
        truth.pred_instances = sample.gt_instances
    if 'gt_sem_seg' in sample:
        truth.pred_sem_seg = sample.gt_sem_seg
    if 'gt_score' in sample:
        # Mixed pictures have shares of several classes.
        shares = to_numpy(sample.gt_score)
        truth.pred_score = shares
        truth.pred_label = np.flatnonzero(shares)
    elif 'gt_label' in sample:
        truth.pred_label = to_numpy(sample.gt_label)
    return truth


def _annotated(instances: list[Mapping]) -> InstanceData:
    kept = [entry for entry in instances if not entry.get('ignore_flag')]
    return InstanceData(
        bboxes=torch.tensor([entry['bbox'] for entry in kept], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([entry['bbox_label'] for entry in kept], dtype=torch.long),
    )
