"""Analysis of boxes with a class each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allinone.visualization.draw import to_numpy

from .base import Quality, TaskAnalysis, count_table, percent
from .box_matching import COCO_THRESHOLDS, Boxes, match, overlaps, pairs_by_overlap
from .calibration import reliability
from .confusion import confusion_parts
from .parts import Histogram, Part, Table
from .ranking import (
    Counts,
    best_threshold,
    f1_curves,
    mean_of_defined,
    precision_at_recalls,
    precision_curves,
)

IOU = 0.5
AT = 0  # Its index among the thresholds
BITS = 1 << np.arange(len(COCO_THRESHOLDS))
SIZES = dict(small=(0, 32**2), medium=(32**2, 96**2), large=(96**2, np.inf))  # COCO's
EDGES = [2.0**power for power in range(2, 13)]
BACKGROUND = 'background'


class BoxAnalysis(TaskAnalysis):
    """COCO's AP of each class, precision and recall, curves, confusion matrix and calibration.

    All detections that the model gives count. Ignored boxes (crowds) are neither right nor wrong,
    as in COCO. Instance segmentation is rated by its boxes.
    """

    quality = f'F1 of the boxes at an IoU of {IOU}'
    class_metric = 'AP %'

    def __init__(self, classes: Sequence[str], score_thr: float = 0.3):
        super().__init__(classes, score_thr)
        size = len(self.classes)
        self.annotated = np.zeros(size, np.int64)
        self.images = np.zeros(size, np.int64)
        self.matrix = np.zeros((size + 1, size + 1), np.int64)
        # A tuple of arrays for each image: label, score, and bits of the thresholds
        self._found: list[tuple[NDArray, NDArray, NDArray, NDArray]] = []
        self._columns: tuple[NDArray, NDArray, NDArray, NDArray] | None = None

    def add(self, sample: Any, info: Mapping | None = None) -> Quality | None:
        truth = annotated_boxes(sample, info)
        if truth is None:
            return None
        instances = sample.pred_instances
        scores = to_numpy(instances.scores).astype(np.float32)
        order = np.argsort(-scores, kind='stable')
        scores = scores[order]
        labels = to_numpy(instances.labels).astype(np.int32)[order]
        corners = to_numpy(instances.bboxes).astype(float).reshape(-1, 4)[order]
        iou = overlaps(corners, truth)
        right, left_out = match(iou, labels[:, None] == truth.labels, truth.ignored)
        self._found.append(
            (
                labels,
                scores,
                (right @ BITS).astype(np.uint16),
                (left_out @ BITS).astype(np.uint16),
            )
        )
        self._columns = None
        counts = np.bincount(truth.labels[~truth.ignored], minlength=len(self.classes))
        self.annotated += counts
        self.images += counts > 0
        shown = scores >= np.float32(self.score_thr)
        self._confuse(iou[shown], labels[shown], truth)
        hits = int(right[shown, AT].sum())
        wrong = int(shown.sum()) - hits - int(left_out[shown, AT].sum())
        total = int(counts.sum())
        if not total + wrong:
            return Quality(float('nan'), 0)
        return Quality(2 * hits / (hits + wrong + total), total + wrong)

    def _confuse(self, iou: NDArray, labels: NDArray, truth: Boxes) -> None:
        real = np.flatnonzero(~truth.ignored)
        found, at = pairs_by_overlap(iou[:, real], IOU)
        rows = truth.labels[real]
        free = np.ones(len(labels), bool)
        free[found] = False
        missed = np.ones(len(rows), bool)
        missed[at] = False
        # Of the class, as in COCO's matching
        left_out = (iou >= IOU) & truth.ignored & (labels[:, None] == truth.labels)
        free &= ~left_out.any(1)
        background = len(self.classes)
        np.add.at(self.matrix, (rows[at], labels[found]), 1)
        np.add.at(self.matrix, (rows[missed], background), 1)
        np.add.at(self.matrix, (background, labels[free]), 1)

    def average_precisions(self) -> NDArray:
        """``(T, C)`` at COCO's thresholds, of each class; NaN for a class without boxes."""
        return self._precisions().mean(2)

    def _precisions(self) -> NDArray:
        """``(T, C, 101)`` at COCO's recalls."""
        label, score, right, left_out = self._all()
        found = np.full((len(BITS), len(self.classes), 101), np.nan)
        for category in np.flatnonzero(self.annotated):
            rows = np.flatnonzero(label == category)
            for index, bit in enumerate(BITS):
                kept = rows[(left_out[rows] & bit) == 0]
                found[index, category] = precision_at_recalls(
                    score[kept], (right[kept] & bit) > 0, int(self.annotated[category])
                )
        return found

    def class_values(self) -> dict[str, float | None]:
        mean = self.average_precisions().mean(0)
        return {name: percent(value) for name, value in zip(self.classes, mean)}

    def summary(self) -> dict[str, float | None]:
        precision = self.average_precisions()
        return {
            'mAP %': percent(mean_of_defined(precision.mean(0)).item()),
            'mAP50 %': percent(mean_of_defined(precision[AT]).item()),
            'mAP75 %': percent(mean_of_defined(precision[5]).item()),
            'ECE %': self._reliability().ece,
        }

    def parts(self) -> list[Part]:
        label, score, right, left_out = self._at_iou()
        precisions = self._precisions()
        average = precisions.mean(2)
        rows, f1 = [], []
        for index, name in enumerate(self.classes):
            kept = (label == index) & ~left_out
            scores, hits, positives = score[kept], right[kept], int(self.annotated[index])
            fixed = Counts.of(scores, hits, positives, [self.score_thr])
            counts = Counts.of(scores, hits, positives)
            f1.append(counts.f1)
            rows.append(
                [
                    name,
                    positives,
                    int(self.images[index]),
                    int(fixed.predicted[0]),
                    percent(average[:, index].mean()),
                    percent(average[AT, index]),
                    percent(fixed.precision[0]),
                    percent(fixed.recall[0]),
                    *best_threshold(counts.f1),
                ]
            )
        columns = {
            'Class': '',
            'Boxes': ',d',
            'Images': ',d',
            'Detections': ',d',
            'AP %': '.1f',
            'AP50 %': '.1f',
            'Precision %': '.1f',
            'Recall %': '.1f',
            'Best F1 %': '.1f',
            'at threshold': '.2f',
        }
        at = f'at a score of {self.score_thr:g} and an IoU of {IOU}'
        table = Table(
            'Classes',
            columns,
            rows,
            f"AP is COCO's mean over IoU thresholds of .5 to .95. Detections, precision and recall "
            f'are {at}, F1 at an IoU of {IOU}.',
        )
        return [
            table,
            precision_curves(self.classes, precisions[AT], f'A line a class, at an IoU of {IOU}.'),
            f1_curves(self.classes, np.stack(f1), f'A line a class, at an IoU of {IOU}.'),
            *confusion_parts(
                self.matrix,
                [*self.classes, BACKGROUND],
                [*self.classes, BACKGROUND],
                'Boxes',
                f'Annotated boxes (rows) and detections (columns) {at}, in pairs by falling IoU, '
                f'whatever their classes. The row {BACKGROUND} has the detections without a box, '
                'the column the boxes without a detection.',
            ),
            self._reliability(),
        ]

    def _reliability(self):
        _, score, right, left_out = self._at_iou()
        return reliability(
            'Calibration',
            score[~left_out],
            right[~left_out],
            f'Scores of all detections, which are right at an IoU of {IOU} with a box of the class',
        )

    def _at_iou(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        label, score, right, left_out = self._all()
        return label, score, (right & BITS[AT]) > 0, (left_out & BITS[AT]) > 0

    def _all(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        if self._columns is None:
            types = np.int32, np.float32, np.uint16, np.uint16
            empty = [np.zeros(0, dtype) for dtype in types]
            columns = list(zip(*self._found)) or [()] * len(types)
            label, score, right, left_out = (
                np.concatenate([none, *column]) for none, column in zip(empty, columns)
            )
            self._columns = label, score, right, left_out
            self._found = [self._columns]
        return self._columns

    @classmethod
    def label_parts(
        cls, title: str, infos: Iterable[Mapping], classes: Sequence[str], most: int
    ) -> list[Part]:
        counts, images = np.zeros(len(classes), np.int64), np.zeros(len(classes), np.int64)
        labels_of, areas_of = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        number = empty = ignored = 0
        for info in infos:
            boxes = _listed(info.get('instances') or ())
            labels = boxes.labels[~boxes.ignored]
            found = np.bincount(labels, minlength=len(classes))[: len(classes)]
            counts += found
            images += found > 0
            number += 1
            empty += not len(labels)
            ignored += int(boxes.ignored.sum())
            sides = boxes.corners[~boxes.ignored]
            labels_of.append(labels.astype(np.int32))
            areas_of.append((sides[:, 2:] - sides[:, :2]).prod(1).astype(np.float32))
        labels, areas = np.concatenate(labels_of), np.concatenate(areas_of)
        columns: dict[str, Any] = {'Boxes': counts, 'Images': images}
        for name, (low, high) in SIZES.items():
            chosen = labels[(areas >= low) & (areas < high)]
            columns[name] = np.bincount(chosen, minlength=len(classes))
        columns['median size'] = [
            float(np.sqrt(np.median(areas[labels == i]))) if counts[i] else float('nan')
            for i in range(len(classes))
        ]
        note = (
            f'{number:,} images, of which {empty:,} have no box, and {len(labels):,} boxes, '
            f'{len(labels) / max(1, number):.1f} an image; {ignored:,} others are ignored. Sizes '
            'are square roots of areas in pixels; small is below 32, large is 96 and above.'
        )
        parts: list[Part] = [count_table(title, classes, columns, note)]
        if len(areas):
            sizes = np.clip(np.sqrt(areas), EDGES[0], EDGES[-1])
            parts.append(
                Histogram(
                    'Sizes of the boxes',
                    'square root of the area in pixels',
                    'boxes',
                    EDGES,
                    np.histogram(sizes, EDGES)[0].tolist(),
                    log=True,
                )
            )
        return parts


def annotated_boxes(sample: Any, info: Mapping | None) -> Boxes | None:
    """The annotated boxes of an image in pixels of its file; None if it has no annotations."""
    if info is not None and isinstance(info.get('instances'), (list, tuple)):
        return _listed(info['instances'])
    if 'gt_instances' not in sample:
        return None
    parts = [sample.gt_instances, sample.get('ignored_instances')]
    corners, labels, ignored = [], [], []
    for place, part in enumerate(parts):
        if part is not None and 'bboxes' in part:
            corners.append(to_numpy(part.bboxes).astype(float).reshape(-1, 4))
            labels.append(to_numpy(part.labels).astype(np.int64))
            ignored.append(np.full(len(labels[-1]), place > 0))
    if not corners:
        return None
    return Boxes(np.concatenate(corners), np.concatenate(labels), np.concatenate(ignored))


def _listed(instances: Sequence[Mapping]) -> Boxes:
    return Boxes(
        np.array([box['bbox'] for box in instances], float).reshape(-1, 4),
        np.array([box['bbox_label'] for box in instances], np.int64),
        np.array([bool(box.get('ignore_flag')) for box in instances], bool),
    )
