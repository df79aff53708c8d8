"""Average precision of detections, as COCO computes it."""

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from allinone.registry.kinds import derives

from .base import ImageStatistics, mean_of_defined, ratio

COCO_METRIC = 'mmdet.evaluation.metrics.coco_metric.CocoMetric'
MEASURED = ('bbox', 'segm')
AREAS = dict(mAP='all', mAP_s='small', mAP_m='medium', mAP_l='large')
THRESHOLDS = dict(mAP_50=0.5, mAP_75=0.75)
RECALLS = np.linspace(0, 1, 101)  # As COCO's ``recThrs``, digit by digit
EPSILON = np.spacing(1)
AT_ONCE = 1 << 22


class Matches(ImageStatistics):
    """Detections with what COCO's evaluation matched them to, at each threshold T and area range A.

    ``annotated`` (N, A, K) counts the boxes of each image and class that are to be found. The other
    arrays have a row for each detection, ordered by image, class and descending score: ``image``
    (the row of its image), ``category``, ``score``, ``rank`` (from 0, within its image and class),
    ``right`` (D, A, T) for a match with such a box, and ``ignored`` (D, A, T) for what is neither
    right nor wrong. Images are in the order in which COCO's evaluation takes them, which decides
    between equal scores.

    Precision and recall are those of COCO: precision made non-increasing, read at 101 recalls,
    averaged over thresholds and over the classes with any annotated box. An image that comes
    several times is like copies of it with ids that follow each other.
    """

    form = 'matches'
    tolerance = 6e-4

    @classmethod
    def of_metric(
        cls, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> list[ImageStatistics]:
        coco: Any = getattr(metric, '_coco_api', None)  # LVIS has another one.
        if (
            not derives(type(metric), (COCO_METRIC,))
            or coco is None
            or metric.format_only
            or len(results) != len(images)
        ):
            return []
        names = {result['img_id']: image for (_, result), image in zip(results, images)}
        return [
            cls._of_evaluation(metric, measured, _evaluation(metric, measured, results), names)
            for measured in metric.metrics
            if measured in MEASURED and (measured == 'bbox' or _have_masks(results))
        ]

    @classmethod
    def _of_evaluation(cls, metric: Any, measured: str, evaluation: Any, names: dict) -> 'Matches':
        params = evaluation.params
        shape = len(params.catIds), len(params.areaRng), len(params.imgIds)
        annotated = np.zeros((shape[2], shape[1], shape[0]), np.int32)
        rows = []
        for image, category in np.ndindex(shape[2], shape[0]):
            # COCO's order is by class, range of areas and image.
            areas = [
                evaluation.evalImgs[(category * shape[1] + area) * shape[2] + image]
                for area in range(shape[1])
            ]
            if areas[0] is None:  # Neither annotated nor detected
                continue
            annotated[image, :, category] = [(cell['gtIgnore'] == 0).sum() for cell in areas]
            if len(areas[0]['dtScores']):
                rows.append((image, category, areas))
        counts = [len(areas[0]['dtScores']) for *_, areas in rows]
        matched = _stacked(rows, 'dtMatches', params) != 0
        ignored = _stacked(rows, 'dtIgnore', params).astype(bool)
        arrays = dict(
            annotated=annotated,
            image=np.repeat([image for image, *_ in rows], counts).astype(np.int32),
            category=np.repeat([category for _, category, _ in rows], counts).astype(np.int32),
            score=np.array([s for *_, areas in rows for s in areas[0]['dtScores']], float),
            rank=np.array([i for count in counts for i in range(count)], np.int32),
            right=matched & ~ignored,
            ignored=ignored,
        )
        most = max(params.maxDets)
        # pycocotools takes 100 for mAP whatever the others are, and its third for these.
        ours = getattr(metric, 'backend', 'pycocotools') == 'faster_coco_eval'
        options = dict(
            measured=measured,
            thresholds=list(map(float, params.iouThrs)),
            areas=list(params.areaRngLbl),
            most=most if ours or len(params.maxDets) < 3 else params.maxDets[2],
            most_of_mean=most if ours else 100,
            classwise=bool(metric.classwise) and len(metric.metrics) == 1,
            classes=[str(evaluation.cocoGt.cats[i]['name']) for i in params.catIds],
        )
        images = np.array([names.get(i, str(i)) for i in params.imgIds])
        return cls(images, arrays, options)

    def metrics(self, weights: NDArray) -> dict[str, NDArray]:
        options, thresholds = self.options, np.array(self.options['thresholds'])
        found: dict[str, NDArray] = {}
        for name, area in AREAS.items():
            if area not in options['areas']:
                continue
            most = options['most_of_mean' if name == 'mAP' else 'most']
            precision = self.average_precisions(weights, options['areas'].index(area), most)
            found[name] = _mean(precision)
            if name == 'mAP':
                if most != options['most']:
                    precision = self.average_precisions(weights, 0, options['most'])
                for at, threshold in THRESHOLDS.items():
                    found[at] = _mean(precision[np.flatnonzero(thresholds == threshold)])
                classes = dict(zip(options['classes'], precision.mean(0)))
        found = {f'{options["measured"]}_{name}': values for name, values in found.items()}
        if options['classwise']:
            found |= {f'{name}_precision': values for name, values in classes.items()}
        return found

    def average_precisions(self, weights: NDArray, area: int, most: int) -> NDArray:
        """``(T, K, B)`` of each threshold and class; NaN for a class without annotated boxes.

        Args:
            weights: ``(N, B)`` as in :meth:`metrics`.
            area: Index of the range of areas.
            most: Detections of an image and class that count.
        """
        arrays = self.arrays
        annotated = np.einsum('nk,nb->kb', arrays['annotated'][:, area], weights)
        shape = len(self.options['thresholds']), *annotated.shape
        found = np.full(shape, np.nan)
        for category in np.flatnonzero(annotated.any(1)):
            rows = np.flatnonzero((arrays['category'] == category) & (arrays['rank'] < most))
            # Most detections of another size are ignored at all thresholds.
            rows = rows[~arrays['ignored'][rows, area].all(1)]
            rows = rows[np.argsort(-arrays['score'][rows], kind='stable')]
            right, ignored = arrays['right'][rows, area], arrays['ignored'][rows, area]
            places, copies = self._places(rows, right, ignored, int(weights.max(initial=0)))
            size = max(1, AT_ONCE // max(1, len(places)))
            for at in range(0, weights.shape[1], size):
                block = slice(at, at + size)
                found[:, category, block] = _average_precisions(
                    _repeated(weights[arrays['image'][rows[places]], block], copies),
                    right[places],
                    ignored[places],
                    annotated[category, block],
                )
        return found

    def _places(
        self, rows: NDArray, right: NDArray, ignored: NDArray, most: int
    ) -> tuple[NDArray, NDArray]:
        """Positions in ``rows``, and the copy of its image that each is of; 0: all copies at once.

        All copies of a detection follow each other, unless the image has another one of the same
        score: then copies of both alternate, and those that differ get a position for each copy.
        """
        image, score = self.arrays['image'][rows], self.arrays['score'][rows]
        starts = np.ones(len(rows), bool)
        starts[1:] = (image[1:] != image[:-1]) | (score[1:] != score[:-1])
        bounds = np.append(np.flatnonzero(starts), len(rows))
        places, copies, end = [], [], 0
        for group in np.flatnonzero(np.diff(bounds) > 1):
            first, last = bounds[group : group + 2]
            if any((flags[first:last] != flags[first]).any() for flags in (right, ignored)):
                places += [np.arange(end, first), *[np.arange(first, last)] * most]
                copies += [np.zeros(first - end, int), np.repeat(np.arange(most) + 1, last - first)]
                end = last
        places.append(np.arange(end, len(rows)))
        copies.append(np.zeros(len(rows) - end, int))
        return np.concatenate(places), np.concatenate(copies)

    def labels(self) -> NDArray:
        return self.arrays['annotated'][:, 0]

    def select(self, rows: NDArray) -> 'Matches':
        # The order of COCO's evaluation stays, for it decides between equal scores.
        rows = np.sort(rows)
        place = np.full(len(self.images), -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.arrays['image']] >= 0
        arrays = {name: a[rows if name == 'annotated' else kept] for name, a in self.arrays.items()}
        arrays['image'] = place[arrays['image']].astype(np.int32)
        return replace(self, images=self.images[rows], arrays=arrays)


def _have_masks(results: Sequence) -> bool:
    return bool(results) and 'masks' in results[0][1]


def _evaluation(metric: Any, measured: str, results: Sequence) -> Any:
    """pycocotools' evaluation of each image, not accumulated."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with TemporaryDirectory() as folder, redirect_stdout(None):  # It prints.
        predictions = [result for _, result in results]
        written = metric.results2json(predictions, f'{folder}/predicted')
        detections = json.loads(Path(written[measured]).read_text())
        if measured == 'segm':
            for detection in detections:
                del detection['bbox']  # mmdet does the same: the area is that of the mask.
        if detections:
            found = metric._coco_api.loadRes(detections)
        else:
            found = COCO()
            found.dataset = dict(metric._coco_api.dataset, annotations=[])
            found.createIndex()
        evaluation = COCOeval(metric._coco_api, found, measured)
        evaluation.params.catIds = metric.cat_ids
        evaluation.params.imgIds = metric.img_ids
        evaluation.params.maxDets = list(metric.proposal_nums)
        evaluation.params.iouThrs = np.atleast_1d(metric.iou_thrs)
        evaluation.evaluate()
    return evaluation


def _stacked(rows: Sequence, key: str, params: Any) -> NDArray:
    """``(D, A, T)`` of all detections."""
    parts = [np.stack([area[key] for area in areas]) for *_, areas in rows]
    if not parts:
        return np.zeros((0, len(params.areaRng), len(params.iouThrs)))
    return np.concatenate(parts, axis=2).transpose(2, 0, 1)


def _repeated(weights: NDArray, copies: NDArray) -> NDArray:
    """``(P, B)``: how often each position comes."""
    single = np.flatnonzero(copies)
    weights[single] = weights[single] >= copies[single, None]
    return weights


def _average_precisions(
    weights: NDArray, right: NDArray, ignored: NDArray, annotated: NDArray
) -> list[NDArray]:
    """``(B,)`` at each threshold of detections of one class in the order of their scores.

    Precision has its maxima at right detections, so it is computed there alone.
    """
    seen = np.cumsum(weights, 0)
    found = []
    for threshold in range(right.shape[1]):
        at = np.flatnonzero(right[:, threshold])
        hits = np.cumsum(weights[at], 0)
        left_out = np.flatnonzero(ignored[:, threshold])
        counted = seen[at]
        if len(left_out):
            before = np.cumsum(weights[left_out], 0)
            before = np.concatenate([np.zeros_like(before[:1]), before])
            counted = counted - before[np.searchsorted(left_out, at)]
        precision = hits / (counted + EPSILON)
        precision = np.maximum.accumulate(precision[::-1], 0)[::-1]
        # How many of the 101 recalls are reached first at each right detection
        reached = np.searchsorted(RECALLS, ratio(hits, annotated), side='right')
        points = np.diff(reached, axis=0, prepend=0)
        value = (precision * points).sum(0) / len(RECALLS)
        found.append(np.where(annotated > 0, value, np.nan))
    return found


def _mean(precision: NDArray) -> NDArray:
    """``(B,)`` over thresholds and the classes that have a value, of ``(T, K, B)``."""
    if not len(precision):
        return np.full(precision.shape[2], np.nan)
    return mean_of_defined(precision.mean(0))
