"""Samples that know what their data set annotates, and what not."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.structures import BaseDataElement

from allinone.config.build_errors import named
from allinone.config.sources import LABELS as OF_TASKS
from allinone.registry.options import check_flag
from allinone.tasks.annotated_classes import LABELS, annotated_labels
from allinone.tasks.ignored_regions import REGIONS

from .seeded import DatasetWrapper, MapDataset
from .shared_sample import SharedDataSample
from .task_loaders import is_labelled


class PartlyAnnotated(DatasetWrapper):
    """A data set whose data samples tell their loss what is not annotated.

    Args:
        dataset: Of a source, with packed samples.
        marks: ``{task: metainfo that its samples get}``.
    """

    def __init__(self, dataset: MapDataset, marks: Mapping[str, Mapping[str, Any]]):
        self.dataset = dataset
        self.marks = dict(marks)

    def __getitem__(self, index: int) -> Any:
        sample = self.dataset[index]
        packed = sample.get('data_samples') if isinstance(sample, Mapping) else None
        if isinstance(packed, SharedDataSample):
            for task, labels in packed.labels.items():
                labels.set_metainfo(dict(self.marks.get(task, {})))
        elif isinstance(packed, BaseDataElement):
            (mark,) = self.marks.values()
            packed.set_metainfo(dict(mark))
        return sample


def marks_by_task(key: str, dataset: Any, tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``{task: metainfo for its samples}`` of the tasks for which not everything is annotated.

    Args:
        key: Config key of the data set, for messages.
        dataset: Of a source of one task, or a ``SharedDataset``.
        tasks: Those of the source.

    Raises:
        ConfigError: If ``metainfo.annotated_classes`` or ``metainfo.ignored_regions`` cannot be
            used.
    """
    parts = {key: (tasks[0], dataset)}
    if is_labelled(dataset):
        parts = {f'{key}.{OF_TASKS}.{task}': (task, dataset.parts[task]) for task in tasks}
    found: dict[str, dict[str, Any]] = {}
    for place, (task, part) in parts.items():
        with named(place):
            labels = annotated_labels(part)
            regions = (getattr(part, 'metainfo', None) or {}).get(REGIONS, False)
            check_flag(f'metainfo.{REGIONS}', regions)
        mark: dict[str, Any] = {} if labels is None else {LABELS: labels}
        if regions:
            mark[REGIONS] = True
        if mark:
            found[task] = mark
    return found
