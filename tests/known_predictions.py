"""Predictions of images that are known, in place of those of a model."""

import hashlib

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from allinone.io.images import read_image


class KnownPredictions:
    """Data samples by the content of an image."""

    def __init__(self):
        self.of: dict[str, dict] = {}
        self.seen: list[int] = []

    def add(self, path, **samples):
        self.of[_content(read_image(path))] = samples

    def predict(self, mode, images, inputs, tasks):
        self.seen.append(len(images))
        return [{task: self.of[_content(image)][task] for task in tasks} for image in images]


def _content(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def boxes(table):
    """``(x, y, width, height, label, score)`` of each box."""
    table = np.array(table, np.float32).reshape(-1, 6)
    return BaseDataElement(
        pred_instances=InstanceData(
            bboxes=torch.from_numpy(np.c_[table[:, :2], table[:, :2] + table[:, 2:4]]),
            labels=torch.from_numpy(table[:, 4]).long(),
            scores=torch.from_numpy(table[:, 5]),
        )
    )


def label_map(labels, probability, count):
    """Pixels ``(H, W)`` of these labels, with one probability each ``(H, W)``."""
    rest = (1 - probability) / (count - 1)
    scores = np.repeat(rest[None], count, 0)
    np.put_along_axis(scores, labels[None], probability[None], 0)
    return BaseDataElement(
        seg_logits=PixelData(data=torch.from_numpy(np.log(scores))),
        pred_sem_seg=PixelData(data=torch.from_numpy(labels[None])),
    )


def image_class(label, score, count):
    scores = torch.full((count,), (1 - score) / (count - 1))
    scores[label] = score
    return BaseDataElement(pred_score=scores)
