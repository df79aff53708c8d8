"""Labels that a data set lists with its images: their range, absent classes, their digest."""

import hashlib
import logging
import os.path as osp
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from allinone.errors import DataError
from allinone.io.text import shortened

from .annotated_classes import ANNOTATED, annotated_labels


def check_class_labels(
    dataset: BaseDataset,
    infos: Sequence[dict],
    classes: Sequence[str] | None,
    num_classes: int | None,
) -> None:
    """Compare the labels of images and boxes with the head, and name classes without a sample.

    Args:
        dataset: The data set.
        infos: Its ``get_data_info`` of all samples.
        classes: Names of the classes.
        num_classes: Of the task's head; None: no comparison.

    Raises:
        DataError: If a label is not among the head's.
    """
    seen: set[int] = set()
    for info in infos:
        labels = [
            *np.atleast_1d(info.get('gt_label', [])),
            *(box['bbox_label'] for box in info.get('instances', ()) if 'bbox_label' in box),
        ]
        for label in labels:
            if num_classes is not None and not 0 <= label < num_classes:
                raise DataError(
                    f'{info.get("img_path")} has label {label}, but the head of the task has '
                    f'num_classes={num_classes}; labels are 0 to {num_classes - 1}'
                )
        seen.update(map(int, labels))
    _refuse_unannotated(dataset, seen, classes)
    annotated = (getattr(dataset, 'metainfo', None) or {}).get(ANNOTATED, classes or ())
    absent = [
        name for label, name in enumerate(classes or ()) if label not in seen and name in annotated
    ]
    place = getattr(dataset, 'ann_file', None) or type(dataset).__name__
    if not seen and any('instances' in info for info in infos):
        print_log(f'{place} has no box at all', 'current', logging.WARNING)
    if seen and absent:
        print_log(
            f'{place} has no sample of class {shortened(absent)}',
            'current',
            logging.WARNING,
        )


def _refuse_unannotated(
    dataset: BaseDataset, seen: set[int], classes: Sequence[str] | None
) -> None:
    """Refuse labels of classes that a data set says it does not annotate."""
    annotated = annotated_labels(dataset)
    extra = sorted(seen - set(annotated)) if annotated is not None else []
    if extra:
        place = getattr(dataset, 'ann_file', None) or type(dataset).__name__
        names = shortened(classes[label] for label in extra) if classes else shortened(extra)
        raise DataError(
            f'{place} has labels of {names}, which metainfo.{ANNOTATED} does not have; add the '
            'classes if all their objects are labelled, else remove these labels'
        )


def label_of(info: dict) -> tuple:
    """Class label and instances of an image, as plain values."""
    label: Any = info.get('gt_label')
    return label.tolist() if hasattr(label, 'tolist') else label, info.get('instances')


def digest_of_labels(infos: Iterable[dict], label_of: Callable[[dict], tuple]) -> str:
    """SHA-256 of the names of all images, without their folders, and their labels."""
    digest = hashlib.sha256()
    for info in infos:
        name = osp.basename(info.get('img_path') or '')
        digest.update(repr((name, *label_of(info))).encode())
    return digest.hexdigest()
