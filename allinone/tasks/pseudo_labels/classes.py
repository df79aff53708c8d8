"""Classes of images as pseudo labels: an image list."""

import csv
import io
import os.path as osp
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from allinone.errors import DataError
from allinone.io.atomic import write_whole
from allinone.visualization.draw import to_numpy

from .base import ClassRule, HeldOutPart, LabelledImage, PseudoLabels
from .thresholds import HeldOutScores

FILE, SCORES = 'labels.txt', 'scores.csv'


class PseudoClasses(PseudoLabels):
    """The class with the highest score, right where it is the label; doubtful images have none."""

    def __init__(self, classes: Sequence[str]):
        super().__init__(classes)
        self._found: list[tuple[int, float, bool]] = []

    def compare(self, sample: Any, part: HeldOutPart, index: int) -> tuple[int, float, bool]:
        label, score = highest(sample)
        labels = np.atleast_1d(part.infos[index].get('gt_label', [])).tolist()
        if len(labels) != 1:
            raise DataError(f'it has the labels {labels}; give images with one label each')
        return label, score, label == labels[0]

    def add(self, compared: tuple[int, float, bool]) -> None:
        self._found.append(compared)

    def held_out_scores(self, part: HeldOutPart) -> list[HeldOutScores]:
        labels, scores, right = map(np.array, zip(*self._found, strict=True))
        return [
            HeldOutScores.of_predictions(scores[labels == label], right[labels == label])
            for label in range(len(self.classes))
        ]

    def label(self, sample: Any, rules: Sequence[ClassRule], path: str) -> dict:
        label, score = highest(sample)
        threshold = rules[label].label
        sure = threshold is not None and score >= threshold.score
        return dict(label=label, score=round(score, 6), sure=sure)

    def counts(self, result: Mapping) -> dict[str, tuple[int, int]]:
        found = dict.fromkeys(self.classes, (0, 0))
        found[self.classes[result['label']]] = (int(result['sure']), int(not result['sure']))
        return found

    def write(self, folder: str, images: Sequence[LabelledImage]) -> None:
        lines = [
            f'{image.name} {image.result["label"]}\n' for image in images if image.result['sure']
        ]
        write_whole(osp.join(folder, FILE), ''.join(lines).encode())
        table = io.StringIO()
        rows = csv.writer(table, lineterminator='\n')
        rows.writerow(('name', 'label', 'class', 'score', 'labelled'))
        for image in images:
            label, score, sure = (image.result[key] for key in ('label', 'score', 'sure'))
            rows.writerow((image.name, label, self.classes[label], score, int(sure)))
        write_whole(osp.join(folder, SCORES), table.getvalue().encode())

    def dataset_config(
        self, folder: str, images: str, suffix: str | None, labelled: Collection[str]
    ) -> dict:
        return dict(
            type='allinone.ImageListDataset',
            ann_file=osp.join(folder, FILE),
            data_prefix=images,
            metainfo=dict(classes=tuple(self.classes)),
        )


def highest(sample: Any) -> tuple[int, float]:
    """The class with the highest score of a predicted data sample, and this score."""
    scores = to_numpy(sample.pred_score).reshape(-1)
    label = int(scores.argmax())
    return label, float(scores[label])
