"""Collects predictions and ground truth of each task while a checkpoint is tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.hooks import Hook

from allinone.tasks import TaskKind
from allinone.tasks.analyses import TaskAnalysis
from allinone.tasks.ignored_boxes import IgnoredBoxes
from allinone.visualization.palette import ClassTable

from .examples import Examples


@dataclass
class TaskFindings:
    """What a test collects of one task.

    Attributes:
        kind: Of the task.
        dataset: Its test data.
        analysis: The counts.
        examples: The best and worst images.
        table: Names and colours of the classes.
        images: Images of the test data, with and without labels.
        labelled: Those with labels.
        indices: ``{path of an image: its index in the data set}``.
        ignored: Boxes that the metrics ignore and the data set leaves out.
    """

    kind: TaskKind
    dataset: Any
    analysis: TaskAnalysis
    examples: Examples
    table: ClassTable
    images: int
    labelled: int = 0
    indices: dict[str, int] = field(default_factory=dict)
    ignored: IgnoredBoxes = field(init=False)

    def __post_init__(self):
        self.ignored = IgnoredBoxes(self.dataset)

    def add(self, task: str, sample: Any) -> None:
        """Add a predicted data sample.

        Raises:
            DataError: If it has no prediction of the kind.
        """
        self.kind.require(sample, f'the prediction of task {task}')
        path = sample.metainfo.get('img_path')
        index = self.indices.get(path)
        info = None
        if index is not None:
            info = self.ignored.added_to(self.dataset.get_data_info(index))
        quality = self.analysis.add(sample, info)
        if quality is None:
            return
        self.labelled += 1
        if path is not None:
            self.examples.add(
                quality,
                path,
                lambda: (
                    self.kind.to_record(sample, self.table),
                    self.kind.ground_truth(sample, info).cpu(),
                ),
            )


class CollectPredictions(Hook):
    """Hands each prediction of a test to the analysis of its kind.

    Args:
        score_thr: Score from which predictions count.
        examples: Number of best and of worst images.
    """

    priority = 'LOW'

    def __init__(self, score_thr: float, examples: int):
        self.score_thr, self.examples = score_thr, examples
        self.tasks: dict[str, TaskFindings] = {}
        self.notes: dict[str, str] = {}

    def before_test(self, runner) -> None:
        loop = runner.test_loop
        model = getattr(runner.model, 'module', runner.model)
        for task, kind in loop.kinds.items():
            if task not in loop.evaluators:
                continue
            if kind.analysis is None:
                self.notes[task] = (
                    f'The kind {kind.name!r} has no analysis; docs/add_a_kind.md says how to give '
                    'it one.'
                )
                continue
            part = loop.parts[task]
            table = ClassTable(getattr(part.dataset, 'metainfo', None))
            self.tasks[task] = TaskFindings(
                kind,
                part.dataset,
                kind.analysis(
                    class_names(table, kind.num_classes(model.tasks[task])), self.score_thr
                ),
                Examples(self.examples),
                table,
                loop.dataloader.sizes[part.source],
                indices=_indices(part.dataset),
            )

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch=None,
        outputs: Mapping[str, Sequence] | None = None,
    ) -> None:
        for task, samples in (outputs or {}).items():
            if task in self.tasks:
                for sample in samples:
                    self.tasks[task].add(task, sample)


def class_names(table: ClassTable, count: int | None) -> list[str]:
    """Names of all classes of a head, which are numbers where the data set has no names."""
    return [table.name(label) for label in range(max(len(table.classes), count or 0))]


def _indices(dataset: Any) -> dict[str, int]:
    if not hasattr(dataset, 'get_data_info'):
        return {}
    paths = (dataset.get_data_info(index).get('img_path') for index in range(len(dataset)))
    return {path: index for index, path in enumerate(paths) if path}
