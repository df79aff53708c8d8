"""Boxes as pseudo labels: a COCO file, with regions to ignore."""

import os.path as osp
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allinone.errors import DataError
from allinone.io.atomic import write_json
from allinone.visualization.draw import to_numpy

from ..annotated_classes import ANNOTATED
from ..coco import complete_annotations, fit_to_dataset, is_numbered_by_file
from ..ignored_regions import REGIONS
from ..image_statistics import Matches
from .base import ClassRule, HeldOutPart, LabelledImage, OwnClasses, PseudoLabels
from .thresholds import HeldOutScores

IOU = 0.5  # From which on a box is right
SAME_OBJECT = 0.5  # IoU from which on a doubtful box repeats a certain one
FILE = 'annotations.json'


class PseudoBoxes(PseudoLabels):
    """Boxes that are right where COCO's evaluation matches them at an IoU of .5.

    Matching is greedy by score within class and image. Boxes on crowds and on annotations with
    ``ignore`` are neither right nor wrong. Boxes between the two thresholds become crowds
    (``iscrowd`` 1), which training ignores, unless a certain box has their place.
    """

    ignores = True
    completes = True

    def __init__(self, classes: Sequence[str]):
        super().__init__(classes)
        self._predicted: list[dict] = []

    def compare(self, sample: Any, part: HeldOutPart, index: int) -> dict:
        info, found = part.infos[index], sample.pred_instances
        return dict(
            img_id=info['img_id'],
            ori_shape=(info.get('height'), info.get('width')),
            pred_instances={name: found[name].cpu() for name in ('bboxes', 'scores', 'labels')},
        )

    def add(self, compared: dict) -> None:
        self._predicted.append(compared)

    def held_out_scores(self, part: HeldOutPart) -> list[HeldOutScores]:
        matches = self._matches(part)
        if not matches.arrays['annotated'].any():
            raise DataError('it has no box of any class; give labelled images')
        ignored = matches.arrays['ignored'][:, 0, 0]
        right, scores = matches.arrays['right'][:, 0, 0], matches.arrays['score']
        # The evaluation numbers classes in the order of their ids.
        numbers = {name: number for number, name in enumerate(matches.options['classes'])}
        found = []
        for name in self.classes:
            rows = (matches.arrays['category'] == numbers.get(name, -1)) & ~ignored
            found.append(HeldOutScores.of_predictions(scores[rows], right[rows]))
        return found

    def _matches(self, part: HeldOutPart) -> Matches:
        from mmdet.evaluation import CocoMetric  # Slow to import

        dataset: Any = part.dataset
        if not is_numbered_by_file(dataset):
            raise DataError(
                f'a {type(dataset).__name__} reads no COCO file, with which boxes are compared; '
                'give the labels as a COCO file, and a config with an mmdet.CocoDataset as --config'
            )
        with redirect_stdout(None):  # It prints.
            metric: Any = CocoMetric(ann_file=dataset.ann_file, metric='bbox', iou_thrs=[IOU])
        complete_annotations(metric)
        metric.dataset_meta = dataset.metainfo
        fit_to_dataset(metric, dataset)
        metric.process({}, self._predicted)
        metric.img_ids = metric.img_ids or metric._coco_api.get_img_ids()
        (matches,) = Matches.of_metric(metric, metric.results, part.images)
        assert isinstance(matches, Matches)
        return matches

    def label(self, sample: Any, rules: Sequence[ClassRule], path: str) -> dict:
        found = sample.pred_instances
        boxes = to_numpy(found.bboxes).astype(float).reshape(-1, 4)
        labels, scores = to_numpy(found.labels).astype(int), to_numpy(found.scores).astype(float)
        lowest = np.array(
            [
                [
                    threshold.score if threshold else np.inf
                    for threshold in (rule.label, rule.ignore)
                ]
                for rule in rules
            ]
        )
        sure = scores >= lowest[labels, 0]
        doubtful = ~sure & (scores >= lowest[labels, 1])
        doubtful[doubtful] = ~_repeats(boxes[doubtful], boxes[sure])
        area = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
        chosen = np.flatnonzero((sure | doubtful) & np.isfinite(boxes).all(1) & (area > 0))
        return dict(
            boxes=[
                dict(
                    bbox=[round(value, 3) for value in boxes[at].tolist()],
                    name=self.classes[labels[at]],
                    score=round(scores[at].item(), 6),
                    ignore=not sure[at],
                )
                for at in chosen
            ]
        )

    def complete(self, result: Mapping, info: Mapping, own: OwnClasses) -> dict:
        kept = [
            dict(
                bbox=[round(float(value), 3) for value in entry['bbox']],
                name=own.classes[entry['bbox_label']],
                score=1.0,
                ignore=bool(entry.get('ignore_flag')),
            )
            for entry in info['instances']
            if own.classes[entry['bbox_label']] in own.annotated
        ]
        others = [box for box in result['boxes'] if box['name'] not in own.annotated]
        # What an annotator has named is no object of another class.
        places = [
            np.array([box['bbox'] for box in part]).reshape(-1, 4)
            for part in (others, [box for box in kept if not box['ignore']])
        ]
        repeated = _repeats(*places)
        return dict(boxes=[*kept, *(box for box, again in zip(others, repeated) if not again)])

    def counts(self, result: Mapping) -> dict[str, tuple[int, int]]:
        found = dict.fromkeys(self.classes, (0, 0))
        for box in result['boxes']:
            labels, ignored = found[box['name']]
            found[box['name']] = (labels + (not box['ignore']), ignored + box['ignore'])
        return found

    def write(self, folder: str, images: Sequence[LabelledImage]) -> None:
        numbers = {name: number for number, name in enumerate(self.classes, 1)}
        annotations: list[dict] = []
        for number, image in enumerate(images, 1):
            for box in image.result['boxes']:
                left, top, right, bottom = box['bbox']
                size = [round(right - left, 3), round(bottom - top, 3)]
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=number,
                        category_id=numbers[box['name']],
                        bbox=[left, top, *size],
                        area=round(size[0] * size[1], 3),
                        iscrowd=int(box['ignore']),
                        score=box['score'],
                    )
                )
        content = dict(
            images=[
                dict(id=number, file_name=image.name, width=image.width, height=image.height)
                for number, image in enumerate(images, 1)
            ],
            annotations=annotations,
            categories=[dict(id=number, name=name) for name, number in numbers.items()],
        )
        write_json(osp.join(folder, FILE), content, indent=None)

    def dataset_config(
        self, folder: str, images: str, suffix: str | None, labelled: Collection[str]
    ) -> dict:
        metainfo = {'classes': tuple(self.classes), REGIONS: True}
        annotated = tuple(name for name in self.classes if name in labelled)
        if len(annotated) < len(self.classes):
            # Else what has no box would be background, also objects of the other classes.
            metainfo[ANNOTATED] = annotated
        return dict(
            type='mmdet.CocoDataset',
            ann_file=osp.join(folder, FILE),
            data_prefix=dict(img=images),
            metainfo=metainfo,
        )


def _repeats(boxes: NDArray, others: NDArray) -> NDArray:
    """``(N,)``: whether a box has the place of any other one, of whatever class."""
    if not len(boxes) or not len(others):
        return np.zeros(len(boxes), bool)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (high - low).clip(0).prod(2)
    areas = [(part[:, 2:] - part[:, :2]).clip(0).prod(1) for part in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - common
    return (common >= SAME_OBJECT * union).any(1)
