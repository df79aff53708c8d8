"""Samples that know which classes their data set annotates."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.structures import BaseDataElement

from allinone.config.build_errors import named
from allinone.config.sources import LABELS as OF_TASKS
from allinone.tasks.annotated_classes import LABELS, annotated_labels

from .seeded import DatasetWrapper, MapDataset
from .shared_sample import SharedDataSample
from .task_loaders import is_labelled


class PartlyAnnotated(DatasetWrapper):
    """A data set whose data samples tell their loss which classes are annotated.

    Args:
        dataset: Of a source, with packed samples.
        labels: ``{task: annotated labels}`` of tasks of which it does not annotate all classes.
    """

    def __init__(self, dataset: MapDataset, labels: Mapping[str, tuple[int, ...]]):
        self.dataset = dataset
        self.annotated = dict(labels)

    def __getitem__(self, index: int) -> Any:
        sample = self.dataset[index]
        packed = sample.get('data_samples') if isinstance(sample, Mapping) else None
        if isinstance(packed, SharedDataSample):
            for task, labels in packed.labels.items():
                self._mark(task, labels)
        elif isinstance(packed, BaseDataElement):
            (task,) = self.annotated
            self._mark(task, packed)
        return sample

    def _mark(self, task: str, sample: BaseDataElement) -> None:
        if task in self.annotated:
            sample.set_metainfo({LABELS: self.annotated[task]})


def annotated_by_task(key: str, dataset: Any, tasks: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """``{task: annotated labels}`` of the tasks of a source whose classes are not all annotated.

    Args:
        key: Config key of the data set, for messages.
        dataset: Of a source of one task, or a ``SharedDataset``.
        tasks: Those of the source.

    Raises:
        ConfigError: If ``metainfo.annotated_classes`` cannot be used.
    """
    parts = {key: (tasks[0], dataset)}
    if is_labelled(dataset):
        parts = {f'{key}.{OF_TASKS}.{task}': (task, dataset.parts[task]) for task in tasks}
    found = {}
    for place, (task, part) in parts.items():
        with named(place):
            labels = annotated_labels(part)
        if labels is not None:
            found[task] = labels
    return found
