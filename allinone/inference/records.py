"""Predictions as plain numbers, strings and lists."""

from collections.abc import Iterable, Mapping

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.structures import BaseDataElement

from allinone.config.build_errors import named
from allinone.config.data_sets import innermost
from allinone.config.sources import first_data
from allinone.registry.kinds import kind_of_prediction, kind_of_record
from allinone.tasks import TaskKind
from allinone.tasks.base import Json
from allinone.visualization.palette import ClassTable

from .model_source import ModelSource


def to_record(
    sample, metainfo: Mapping | None = None, masks: str = 'rle', kind: TaskKind | None = None
) -> Json | np.ndarray:
    """Convert a prediction to plain numbers, strings and lists; see :class:`AllInOneInferencer`.

    Args:
        sample: The data sample.
        metainfo: Metadata of its data set, with the names of the classes.
        masks: ``'rle'``, or ``'array'`` for the label map ``(H, W)`` itself.
        kind: Kind of the task. Default: inferred from the fields of the sample.

    Raises:
        DataError: If the sample is not a prediction of this kind, or of any kind.
    """
    kind = kind or kind_of_prediction(sample)
    kind.require(sample)
    return kind.to_record(sample, ClassTable(metainfo), masks)


def from_record(
    record: Mapping, kinds: Mapping[str, TaskKind] | None = None
) -> dict[str, BaseDataElement]:
    """``{task: data sample}`` of an image's predictions, with the fields needed for drawing.

    Args:
        record: ``{task: prediction}``.
        kinds: ``{task: kind}``. Default: inferred from the form of a prediction.

    Raises:
        DataError: If the prediction of a task does not match its kind.
    """
    return {
        task: (kinds[task] if kinds else kind_of_record(found)).read_record(task, found)
        for task, found in record.items()
    }


def known_metainfo(source: ModelSource, tasks: Iterable[str]) -> dict[str, dict]:
    """``{task: classes and palette}`` of a checkpoint, else of its config."""
    stored = (source.checkpoint.get('meta') or {}).get('dataset_meta')
    stored = stored if isinstance(stored, Mapping) else {}
    return {task: stored.get(task) or dataset_metainfo(source.cfg, task) for task in tasks}


def dataset_metainfo(cfg: Config, task: str) -> dict:
    """Classes and palette of a task's data set, from the config and the data set's type."""
    for stage in ('test', 'val', 'train'):
        data = first_data(cfg, stage, task)
        if data is None or not isinstance(data.dataset, Mapping):
            continue
        _, dataset = next(innermost(data.dataset))
        with named(data.dataset_key):
            kind = dataset.get('type')
            kind = MMENGINE_DATASETS.get(kind) if isinstance(kind, str) else kind
            stored = dict(dataset.get('metainfo') or {})
            # Also reads classes from a file
            load = getattr(kind, '_load_metainfo', None)
            return stored if load is None else load(stored)
    return {}
