"""Analysis of any number of classes an image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allinone.visualization.draw import to_numpy

from .base import Quality, percent
from .calibration import reliability
from .classes import ClassAnalysis
from .parts import Part, Table
from .ranking import (
    Counts,
    best_threshold,
    f1_curves,
    mean_of_defined,
    precision_at_recalls,
    precision_curves,
)

OF_MULTI_LABEL = 0.5  # The usual threshold, which mmpretrain's metrics have, too


class MultiLabelAnalysis(ClassAnalysis):
    """Average precision, precision and recall of each class, curves and calibration.

    Each class is a question of its own, whose answer is its score. A class that an image leaves
    open (a label of -1) does not count there.
    """

    quality = 'mean of 1 - |score - label| over the classes'
    class_metric = 'AP %'

    def __init__(self, classes: Sequence[str], score_thr: float = 0.3):
        super().__init__(classes, score_thr)
        self._all_scores: list[NDArray] = []
        self._all_labels: list[NDArray] = []

    def add(self, sample: Any, info: Mapping | None = None) -> Quality | None:
        count = len(self.classes)
        if 'gt_score' in sample:
            labels = to_numpy(sample.gt_score).reshape(-1).astype(np.int8)
        elif 'gt_label' in sample:
            labels = np.zeros(count, np.int8)
            labels[np.atleast_1d(to_numpy(sample.gt_label)).astype(int)] = 1
        else:
            return None
        scores = to_numpy(sample.pred_score).reshape(-1).astype(np.float32)
        self._all_scores.append(scores)
        self._all_labels.append(labels)
        known = labels >= 0
        if not known.any():
            return Quality(float('nan'), 0)
        distance = np.abs(scores - labels)[known].mean()
        return Quality(float(1 - distance), float((labels == 1).sum()))

    def class_values(self) -> dict[str, float | None]:
        return {
            name: percent(_average_precision(*self._of_class(index)))
            for index, name in enumerate(self.classes)
        }

    def summary(self) -> dict[str, float | None]:
        values = np.array([np.nan if v is None else v for v in self.class_values().values()])
        scores, right = self._answers()
        mean = mean_of_defined(values).item()
        return {
            'mAP %': None if mean != mean else mean,
            'ECE %': reliability('', scores, right, '').ece,
        }

    def parts(self) -> list[Part]:
        rows, precisions, f1 = [], [], []
        for index, name in enumerate(self.classes):
            scores, right = self._of_class(index)
            positives = int(right.sum())
            fixed = Counts.of(scores, right, positives, [OF_MULTI_LABEL])
            counts = Counts.of(scores, right, positives)
            precisions.append(precision_at_recalls(scores, right, positives))
            f1.append(counts.f1)
            rows.append(
                [
                    name,
                    positives,
                    int(fixed.predicted[0]),
                    percent(_average_precision(scores, right)),
                    percent(fixed.precision[0]),
                    percent(fixed.recall[0]),
                    *best_threshold(counts.f1),
                ]
            )
        columns = {
            'Class': '',
            'Images': ',d',
            'Predicted': ',d',
            'AP %': '.1f',
            'Precision %': '.1f',
            'Recall %': '.1f',
            'Best F1 %': '.1f',
            'at threshold': '.2f',
        }
        note = (
            f'Predicted, precision and recall are at a score of {OF_MULTI_LABEL}. AP is the mean '
            'precision at the images of the class.'
        )
        return [
            Table('Classes', columns, rows, note),
            precision_curves(self.classes, np.stack(precisions), 'A line a class.'),
            f1_curves(self.classes, np.stack(f1), 'A line a class.'),
            reliability('Calibration', *self._answers(), 'Scores of all classes of all images'),
        ]

    def _of_class(self, index: int) -> tuple[NDArray, NDArray]:
        scores, labels = self._stacked()
        known = labels[:, index] >= 0
        return scores[known, index], labels[known, index] == 1

    def _answers(self) -> tuple[NDArray, NDArray]:
        scores, labels = self._stacked()
        known = labels >= 0
        return scores[known], labels[known] == 1

    def _stacked(self) -> tuple[NDArray, NDArray]:
        if not self._all_scores:
            empty = np.zeros((0, len(self.classes)), np.float32)
            return empty, empty.astype(np.int8)
        # Once, not at each class
        self._all_scores = [np.vstack(self._all_scores)]
        self._all_labels = [np.vstack(self._all_labels)]
        return self._all_scores[0], self._all_labels[0]


def _average_precision(scores: NDArray, right: NDArray) -> float:
    """The mean precision at the positives, as in mmpretrain; NaN without any."""
    if not right.any():
        return float('nan')
    right = right[np.argsort(-scores, kind='stable')]
    at = np.flatnonzero(right)
    return float(((np.arange(len(at)) + 1) / (at + 1)).mean())
