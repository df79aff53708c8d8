"""Predictions as plain numbers, strings and lists."""

from collections.abc import Mapping

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from pycocotools import mask as coco_mask

from allinone.config.build_errors import named
from allinone.visualization.draw import CLASSIFIED, label_areas, to_numpy, top_classes
from allinone.visualization.palette import ClassTable

TOP = 5


def to_record(
    sample, metainfo: Mapping | None = None, masks: str = 'rle'
) -> dict | list | np.ndarray:
    """A data sample of one of the libraries as plain numbers, strings and lists.

    What is recorded follows from what the sample holds; see :class:`AllInOneInferencer`.

    Args:
        sample: The data sample.
        metainfo: Its data set's, with the names of the classes.
        masks: ``'rle'``, or ``'array'`` for the label map ``(H, W)`` itself.
    """
    table = ClassTable(metainfo)
    if 'pred_instances' in sample:
        return _boxes(sample.pred_instances, table)
    if 'pred_sem_seg' in sample:
        labels = to_numpy(sample.pred_sem_seg.data)[0]
        return labels if masks == 'array' else _masks(labels, table)
    top = [
        dict(label=label, name=table.name(label), score=score)
        for label, score in top_classes(sample, TOP)
    ]
    return dict(top[0] if top else dict(label=None, name=None, score=None), top5=top)


def from_record(record: Mapping) -> dict[str, BaseDataElement]:
    """``{task: sample}`` of a picture's record, as far as drawing needs them."""
    samples = {}
    for task, found in record.items():
        if isinstance(found, Mapping):
            labels = [entry['label'] for entry in found['top5']]
            scores = np.zeros(max(labels, default=-1) + 1)
            scores[labels] = [entry['score'] or 0 for entry in found['top5']]
            samples[task] = BaseDataElement(pred_label=found['label'], pred_score=scores)
        elif found and 'segmentation' in found[0]:
            mask = np.full(found[0]['segmentation']['size'], -1)
            for entry in found:
                mask[coco_mask.decode(entry['segmentation']) > 0] = entry['label']
            samples[task] = BaseDataElement(pred_sem_seg=PixelData(data=mask[None]))
        else:
            samples[task] = BaseDataElement(pred_instances=_instances(found))
    return samples


def _instances(boxes: list[dict]) -> InstanceData:
    instances = InstanceData(
        bboxes=np.array([box['bbox'] for box in boxes], np.float32).reshape(-1, 4),
        labels=np.array([box['label'] for box in boxes], int),
        scores=np.array([box['score'] for box in boxes], np.float32),
    )
    if any('mask' in box for box in boxes):
        instances.masks = np.stack([coco_mask.decode(box['mask']) > 0 for box in boxes])
    further = [
        {
            task: found
            for task, found in box.items()
            if isinstance(found, Mapping) and task != 'mask'
        }
        for box in boxes
    ]
    if any(further):
        setattr(instances, CLASSIFIED, further)
    return instances


def encode_mask(mask: np.ndarray) -> dict:
    """COCO RLE ``{'size': [H, W], 'counts': str}`` of a bool mask ``(H, W)``."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in rle['size']], counts=rle['counts'].decode())


def _boxes(instances, table: ClassTable) -> list[dict]:
    labels = to_numpy(instances.labels).astype(int).tolist()
    records = [
        dict(bbox=box, label=label, name=table.name(label), score=score)
        for box, label, score in zip(
            to_numpy(instances.bboxes).tolist(), labels, to_numpy(instances.scores).tolist()
        )
    ]
    if 'masks' in instances:
        for record, mask in zip(records, to_numpy(instances.masks)):
            record['mask'] = encode_mask(mask)
    for record, found in zip(records, instances.get(CLASSIFIED, ())):
        record |= found
    return records


def _masks(mask: np.ndarray, table: ClassTable) -> list[dict]:
    # Run lengths go down the columns.
    mask = np.asfortranarray(mask)
    return [
        dict(
            label=label, name=table.name(label), area=area, segmentation=encode_mask(mask == label)
        )
        for label, area in label_areas(mask).items()
    ]


def dataset_metainfo(cfg: Config, task: str) -> dict:
    """Classes and palette of a task's data set as the config and the data set's type tell them."""
    for stage in ('test', 'val', 'train'):
        loader = (cfg.get(f'{stage}_dataloader') or {}).get(task) or {}
        dataset = loader.get('dataset')
        while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
            dataset = dataset['dataset']  # RepeatDataset and its like
        if not isinstance(dataset, Mapping):
            continue
        with named(f'{stage}_dataloader.{task}.dataset'):
            kind = dataset.get('type')
            kind = MMENGINE_DATASETS.get(kind) if isinstance(kind, str) else kind
            told = dict(dataset.get('metainfo') or {})
            # Reads classes that are given as a file, too
            return kind._load_metainfo(told) if hasattr(kind, '_load_metainfo') else told
    return {}
