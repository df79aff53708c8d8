"""Analysis of one class an image."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from allinone.visualization.draw import to_numpy

from .base import Quality, TaskAnalysis, count_table, percent
from .calibration import reliability
from .confusion import confusion_parts
from .parts import Part, Table
from .ranking import mean_of_defined

TOP = 5


class ClassAnalysis(TaskAnalysis):
    """Accuracy of each class, confusion matrix and calibration.

    The predicted class is that of the highest score.
    """

    quality = 'score of the true class'
    class_metric = 'Top-1 %'

    def __init__(self, classes: Sequence[str], score_thr: float = 0.3):
        super().__init__(classes, score_thr)
        count = len(self.classes)
        self.matrix = np.zeros((count, count), np.int64)
        self.top5 = np.zeros(count, np.int64)
        self._scores: list[float] = []
        self._right: list[bool] = []

    def add(self, sample: Any, info: Mapping | None = None) -> Quality | None:
        truth = np.atleast_1d(to_numpy(sample.get('gt_label', []))).astype(int)
        count = len(self.classes)
        if len(truth) != 1 or not 0 <= truth[0] < count:
            return None
        true = int(truth[0])
        if 'pred_score' not in sample:
            predicted = int(np.atleast_1d(to_numpy(sample.pred_label))[0])
            self.matrix[true, predicted] += 1
            self.top5[true] += predicted == true
            return Quality(float(predicted == true), 1)
        scores = to_numpy(sample.pred_score).reshape(-1).astype(float)
        predicted = int(scores.argmax())
        self.matrix[true, predicted] += 1
        self.top5[true] += true in np.argsort(-scores, kind='stable')[:TOP]
        self._scores.append(float(scores[predicted]))
        self._right.append(predicted == true)
        # Of two images with a true score of 0, the worse one is that of the surer mistake.
        return Quality(float(scores[true]), float(scores[predicted]))

    def class_values(self) -> dict[str, float | None]:
        recall = _ratio(np.diag(self.matrix), self.matrix.sum(1))
        return {name: percent(value) for name, value in zip(self.classes, recall)}

    def summary(self) -> dict[str, float | None]:
        images = self.matrix.sum()
        recall = _ratio(np.diag(self.matrix), self.matrix.sum(1))
        found = {
            'Top-1 %': percent(_ratio(np.trace(self.matrix), images).item()),
            'Top-5 %': percent(_ratio(self.top5.sum(), images).item()),
            'Mean top-1 of the classes %': percent(mean_of_defined(recall).item()),
        }
        if len(self.classes) <= TOP:
            del found['Top-5 %']
        if self._scores:
            found['ECE %'] = self._reliability().ece
        return found

    def parts(self) -> list[Part]:
        count, predicted = self.matrix.sum(1), self.matrix.sum(0)
        right = np.diag(self.matrix)
        columns = {
            'Top-1 % (recall)': _ratio(right, count),
            'Top-5 %': _ratio(self.top5, count),
            'Precision %': _ratio(right, predicted),
            'F1 %': np.where(count > 0, _ratio(2 * right, count + predicted), np.nan),
        }
        if len(self.classes) <= TOP:
            del columns['Top-5 %']
        table = Table(
            'Classes',
            {'Class': '', 'Images': ',d', 'Predicted': ',d', **dict.fromkeys(columns, '.1f')},
            [
                [
                    name,
                    int(count[i]),
                    int(predicted[i]),
                    *(percent(values[i]) for values in columns.values()),
                ]
                for i, name in enumerate(self.classes)
            ],
            'The predicted class is that of the highest score.',
        )
        parts = [
            table,
            *confusion_parts(
                self.matrix,
                self.classes,
                self.classes,
                'Images',
                'Images of each class (row) by the predicted class (column).',
            ),
        ]
        if self._scores:
            parts.append(self._reliability())
        return parts

    def _reliability(self):
        return reliability(
            'Calibration',
            np.array(self._scores),
            np.array(self._right),
            'Highest scores of the images',
        )

    @classmethod
    def label_parts(
        cls, title: str, infos: Iterable[Mapping], classes: Sequence[str], most: int
    ) -> list[Part]:
        counts, images, unlabelled = np.zeros(len(classes), np.int64), 0, 0
        for info in infos:
            labels = np.atleast_1d(np.asarray(info.get('gt_label', ()), int))
            labels = np.unique(labels[(labels >= 0) & (labels < len(classes))])
            counts[labels] += 1
            images += 1
            unlabelled += not len(labels)
        note = f'{images:,} images, of which {unlabelled:,} have no label.'
        return [count_table(title, classes, {'Images': counts}, note, total=images)]


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(numerator, float) / denominator
