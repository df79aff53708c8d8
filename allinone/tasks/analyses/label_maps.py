"""Analysis of a class of each pixel."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allinone.visualization.draw import to_numpy

from .base import Quality, TaskAnalysis, count_table, percent
from .confusion import confusion_parts
from .parts import Part, Table
from .ranking import mean_of_defined


class LabelMapAnalysis(TaskAnalysis):
    """IoU, accuracy and precision of each class, and the confusion matrix in pixels.

    Values are of the pixels of all images together, as mmseg's ``IoUMetric`` computes them. Pixels
    with a label of no class are left out.
    """

    quality = 'mean IoU of the classes of the image'
    class_metric = 'IoU %'

    def __init__(self, classes: Sequence[str], score_thr: float = 0.3):
        super().__init__(classes, score_thr)
        size = len(self.classes)
        # The last column is of predictions of no class.
        self.matrix: NDArray = np.zeros((size, size + 1), np.int64)
        self.images = np.zeros(size, np.int64)

    def add(self, sample: Any, info: Mapping | None = None) -> Quality | None:
        if 'gt_sem_seg' not in sample:
            return None
        size = len(self.classes)
        truth: NDArray = to_numpy(sample.gt_sem_seg.data).reshape(-1).astype(np.int64)
        found: NDArray = to_numpy(sample.pred_sem_seg.data).reshape(-1).astype(np.int64)
        known = (truth >= 0) & (truth < size)
        truth, found = truth[known], found[known]
        found[(found < 0) | (found >= size)] = size
        pairs = np.bincount(truth * (size + 1) + found, minlength=size * (size + 1))
        matrix = pairs.reshape(size, size + 1)
        self.matrix += matrix
        self.images += matrix.any(1)
        return Quality(float(mean_of_defined(_ious(matrix))), len(truth))

    def class_values(self) -> dict[str, float | None]:
        return dict(zip(self.classes, map(percent, _ious(self.matrix))))

    def summary(self) -> dict[str, float | None]:
        right, labelled = np.diag(self.matrix), self.matrix.sum(1)
        return {
            'mIoU %': percent(mean_of_defined(_ious(self.matrix)).item()),
            'Mean accuracy of the classes %': percent(
                mean_of_defined(_ratio(right, labelled)).item()
            ),
            'Accuracy of the pixels %': percent(_ratio(right.sum(), labelled.sum()).item()),
        }

    def parts(self) -> list[Part]:
        right, labelled = np.diag(self.matrix), self.matrix.sum(1)
        predicted = self.matrix[:, :-1].sum(0)
        columns = {
            'IoU %': _ious(self.matrix),
            'Accuracy % (recall)': _ratio(right, labelled),
            'Precision %': _ratio(right, predicted),
            'F1 %': _ratio(2 * right, labelled + predicted),
        }
        rows = [
            [
                name,
                int(self.images[i]),
                int(labelled[i]),
                int(predicted[i]),
                *(percent(values[i]) for values in columns.values()),
            ]
            for i, name in enumerate(self.classes)
        ]
        table = Table(
            'Classes',
            {
                'Class': '',
                'Images': ',d',
                'Pixels': ',d',
                'Predicted pixels': ',d',
                **dict.fromkeys(columns, '.1f'),
            },
            rows,
            'Of the labelled pixels of all images together.',
        )
        strange = self.matrix[:, -1].any()
        return [
            table,
            *confusion_parts(
                self.matrix if strange else self.matrix[:, :-1],
                self.classes,
                [*self.classes, 'no class'][: len(self.classes) + bool(strange)],
                'Pixels',
                'Pixels of each class (row) by the predicted class (column).',
            ),
        ]

    @classmethod
    def label_parts(
        cls, title: str, infos: Iterable[Mapping], classes: Sequence[str], most: int
    ) -> list[Part]:
        infos = list(infos)
        labelled = [info for info in infos if info.get('seg_map_path')]
        # Evenly over the data set, whose neighbours are often alike
        places = np.unique(np.linspace(0, len(labelled) - 1, min(most, len(labelled))).round())
        pixels, images = np.zeros(len(classes), np.int64), np.zeros(len(classes), np.int64)
        left_out = 0
        for place in places.astype(int):
            counts, others = _pixels(labelled[place], len(classes))
            pixels += counts
            images += counts > 0
            left_out += others
        share = 100 * left_out / max(1, left_out + pixels.sum())
        note = (
            f'{len(infos):,} images, of which {len(infos) - len(labelled):,} have no label map. '
            f'Counted are {len(places):,} label maps'
            + (', evenly over the data set' if len(places) < len(labelled) else '')
            + f'; {share:.1f} % of their pixels have no class.'
        )
        columns = {'Pixels': pixels, 'Images': images}
        return [count_table(title, classes, columns, note)]


def _pixels(info: Mapping, classes: int) -> tuple[NDArray, int]:
    """Pixels of each class in a label map file, and those of none."""
    with Image.open(info['seg_map_path']) as label_map:
        labels: NDArray = np.asarray(label_map).astype(np.int64).reshape(-1)
    if info.get('reduce_zero_label'):
        labels = labels - 1
    if table := info.get('label_map'):  # In this order, as mmseg
        labels = _renumbered(labels, table)
    known = labels[(labels >= 0) & (labels < classes)]
    return np.bincount(known, minlength=classes), len(labels) - len(known)


def _renumbered(labels: NDArray, table: Mapping[int, int]) -> NDArray:
    renumbered = labels.copy()
    for old, new in table.items():
        renumbered[labels == old] = new
    return renumbered


def _ious(matrix: NDArray) -> NDArray:
    """``(C,)`` of a matrix ``(C, C + 1)``; NaN for a class that is nowhere."""
    right = np.diag(matrix)
    return _ratio(right, matrix.sum(1) + matrix[:, :-1].sum(0) - right)


def _ratio(numerator: Any, denominator: Any) -> NDArray:
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(numerator, float) / denominator
