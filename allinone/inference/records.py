"""Predictions as plain numbers, strings and lists."""

from collections.abc import Mapping

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.structures import BaseDataElement

from allinone.config.build_errors import named
from allinone.registry.kinds import kind_of_prediction, kind_of_record
from allinone.tasks import TaskKind
from allinone.tasks.base import Json
from allinone.visualization.palette import ClassTable


def to_record(
    sample, metainfo: Mapping | None = None, masks: str = 'rle', kind: TaskKind | None = None
) -> Json | np.ndarray:
    """A prediction as plain numbers, strings and lists; see :class:`AllInOneInferencer`.

    Args:
        sample: The data sample.
        metainfo: Its data set's, with the names of the classes.
        masks: ``'rle'``, or ``'array'`` for the label map ``(H, W)`` itself.
        kind: Of the task. Default: by the fields of the sample.

    Raises:
        DataError: If the sample is no prediction of this kind, or of any kind.
    """
    kind = kind or kind_of_prediction(sample)
    kind.require(sample)
    return kind.to_record(sample, ClassTable(metainfo), masks)


def from_record(
    record: Mapping, kinds: Mapping[str, TaskKind] | None = None
) -> dict[str, BaseDataElement]:
    """``{task: data sample}`` of an image's record, as far as drawing needs them.

    Args:
        record: ``{task: record}``.
        kinds: ``{task: kind}``. Default: by what a record looks like.

    Raises:
        DataError: If the record of a task does not fit its kind.
    """
    return {
        task: (kinds[task] if kinds else kind_of_record(found)).read_record(task, found)
        for task, found in record.items()
    }


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
            stored = dict(dataset.get('metainfo') or {})
            # Reads classes that are given as a file, too
            load = getattr(kind, '_load_metainfo', None)
            return stored if load is None else load(stored)
    return {}
