"""The predictions of all tasks on one picture."""

from collections.abc import Mapping

import cv2
import numpy as np

from allinone.io.image_files import IGNORED

from .annotator import Box, Pen, shorten
from .legend import Row, add_strip
from .palette import ClassTable

SMALLEST_SIDE, LARGEST_SIDE = 480, 1920  # of a picture that was scaled up
OPACITY = 0.42
LEGEND_ENTRIES = 24
CLASSIFIED = 'classified'  # Field of instances: ``{task: record}`` of each box, by classification
MOST_LABELS = 1 << 16


def draw_tasks(
    image: np.ndarray, predictions: Mapping, metainfo: Mapping | None = None, score_thr: float = 0.3
) -> np.ndarray:
    """Draw masks, boxes and class labels together.

    What a sample holds says how it is drawn (``pred_sem_seg``, ``pred_instances``,
    ``pred_label``), so tasks may have any names, and several may be of one kind. Masks are
    blended in; boxes have name and score; class labels and a legend of the mask's classes stand
    on a strip below the picture.

    Args:
        image: uint8 RGB ``(H, W, 3)``, the picture in its original size.
        predictions: ``{task: data sample}`` of mmpretrain, mmdet or mmseg in pixels of ``image``;
            boxes without scores are drawn without them.
        metainfo: ``{task: {'classes': names, 'palette': RGB colours}}``; what is not given is
            shown as numbers and in fixed distinct colours.
        score_thr: Leave out boxes below this score.

    Returns:
        uint8 RGB ``(H' + strip, W', 3)``. ``(H', W')`` is ``(H, W)``, but pictures with a short
        side below 480 are scaled up to be readable.
    """
    height, width = image.shape[:2]
    image = _readable(np.ascontiguousarray(image))
    scale = np.array([image.shape[1] / width, image.shape[0] / height])
    tables = _class_tables(predictions, metainfo or {})
    rows = [
        (task, _labels(sample, tables[task]))
        for task, sample in predictions.items()
        if 'pred_label' in sample or 'pred_score' in sample
    ]
    for task, sample in predictions.items():
        if 'pred_sem_seg' in sample:
            mask = to_numpy(sample.pred_sem_seg.data)[0]
            labels = _present(mask, tables[task])
            image = _blend(image, mask, labels, tables[task])
            rows.append(_legend(task, labels, tables[task]))
    boxes = []
    for task, sample in predictions.items():
        if 'pred_instances' in sample:
            image = _blend_instances(image, sample.pred_instances, tables[task], score_thr)
            boxes += _boxes(sample.pred_instances, tables[task], scale, score_thr)
    if boxes:
        image = _draw_boxes(image, boxes)
    return add_strip(image, rows)


def to_numpy(values) -> np.ndarray:
    """Tensors of any device, box types and mask types of mmdet as an array."""
    values = getattr(values, 'masks', getattr(values, 'tensor', values))
    return values.detach().cpu().numpy() if hasattr(values, 'detach') else np.asarray(values)


def top_classes(sample, count: int) -> list[tuple[int, float | None]]:
    """``(label, score)`` of the best classes of an mmpretrain sample, best first.

    Without scores, the predicted labels. A multi-label sample has no single best class: the
    labels that it predicts come first.
    """
    predicted = np.atleast_1d(to_numpy(sample.get('pred_label', []))).astype(int).tolist()
    if 'pred_score' not in sample:
        return [(label, None) for label in predicted[:count]]
    scores = to_numpy(sample.pred_score).reshape(-1)
    order = np.argsort(-scores, kind='stable').tolist()
    order = [label for label in order if label in predicted] + [
        label for label in order if label not in predicted
    ]
    return [(label, float(scores[label])) for label in order[:count]]


def _class_tables(predictions: Mapping, metainfo: Mapping) -> dict[str, ClassTable]:
    tables, start = {}, 0
    for task in predictions:
        tables[task] = ClassTable(metainfo.get(task), start)
        start += max(len(tables[task].classes), 1)
    return tables


def _readable(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    factor = min(SMALLEST_SIDE / min(height, width), LARGEST_SIDE / max(height, width))
    if factor <= 1:
        return image
    return cv2.resize(
        image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_CUBIC
    )


def _resized(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """``mask`` ``(H, W, ...)``, uint8, of ``shape``."""
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _blend(image: np.ndarray, mask: np.ndarray, labels: list[int], table: ClassTable) -> np.ndarray:
    """Colour these of the labels of ``mask`` ``(H, W)``; what has others stays as it is."""
    largest = max(labels, default=-1)
    # What is below the first label or above the last goes to the ends, which are not drawn.
    index = np.clip(mask.astype(np.intp), -1, largest + 1) + 1
    drawn, colours = np.zeros(largest + 3, np.uint8), np.zeros((largest + 3, 3), np.uint8)
    for label in labels:
        drawn[label + 1], colours[label + 1] = 1, table.colour(label)
    shape = image.shape[:2]
    coloured = _resized(colours.take(index, 0), shape)
    blended = cv2.addWeighted(coloured, OPACITY, image, 1 - OPACITY, 0)
    return cv2.copyTo(blended, _resized(drawn.take(index), shape), image.copy())


def label_areas(mask: np.ndarray) -> dict[int, int]:
    """``{label: pixels}`` of the labels in ``mask``, in rising order."""
    if mask.dtype.itemsize > 2 and np.ptp(mask) >= MOST_LABELS:
        return {int(label): int(area) for label, area in zip(*np.unique(mask, return_counts=True))}
    lowest = int(mask.min())
    # Counting takes a fifth of the time that sorting does.
    areas = np.bincount(mask.ravel(order='K').astype(np.intp) - lowest)
    return {int(i) + lowest: int(areas[i]) for i in np.flatnonzero(areas)}


def _present(mask: np.ndarray, table: ClassTable) -> list[int]:
    """Labels of classes in the mask, the largest area first."""
    limit = len(table.classes) or IGNORED
    areas = label_areas(mask)
    return sorted((label for label in areas if 0 <= label < limit), key=lambda i: -areas[i])


def _legend(task: str, labels: list[int], table: ClassTable) -> Row:
    entries = [
        (shorten(table.name(label)), table.colour(label)) for label in labels[:LEGEND_ENTRIES]
    ]
    if len(labels) > LEGEND_ENTRIES:
        entries.append((f'and {len(labels) - LEGEND_ENTRIES} more', None))
    return task, entries


def _labels(sample, table: ClassTable) -> list[tuple[str, None]]:
    """What is predicted, or the best class where only scores are given."""
    count = len(np.atleast_1d(to_numpy(sample.get('pred_label', [0]))))
    # In brackets, for many data sets name their classes by numbers.
    return [
        (shorten(table.name(label)) + ('' if score is None else f' ({score:.2f})'), None)
        for label, score in top_classes(sample, count)
    ] or [('none', None)]


def _blend_instances(
    image: np.ndarray, instances, table: ClassTable, score_thr: float
) -> np.ndarray:
    """Masks ``[n, H, W]`` of instance segmentation, in the colours of their classes."""
    if 'masks' not in instances:
        return image
    image = image.copy()
    masks, labels = to_numpy(instances.masks), to_numpy(instances.labels)
    if 'scores' in instances:
        kept = to_numpy(instances.scores) >= score_thr
        masks, labels = masks[kept], labels[kept]
    for mask, label in zip(masks, labels):
        inside = _resized(mask.astype(np.uint8), image.shape[:2]) > 0
        colour = np.array(table.colour(int(label)))
        image[inside] = (OPACITY * colour + (1 - OPACITY) * image[inside]).astype(np.uint8)
    return image


def _boxes(
    instances, table: ClassTable, scale: np.ndarray, score_thr: float
) -> list[tuple[float, Box, str, tuple]]:
    """``(score, x1 y1 x2 y2 in the drawing, caption, colour)`` of the boxes to draw."""
    corners = to_numpy(instances.bboxes).reshape(-1, 4) * np.tile(scale, 2)
    labels = to_numpy(instances.labels).astype(int).tolist()
    known = 'scores' in instances
    scores = to_numpy(instances.scores).tolist() if known else [1.0] * len(labels)
    classified = instances.get(CLASSIFIED, [{}] * len(labels))
    return [
        (
            score,
            tuple(box.tolist()),
            ' '.join(
                [
                    shorten(table.name(label)),
                    *([f'{score:.2f}'] if known else []),
                    *(_caption(record) for record in further.values()),
                ]
            ),
            table.colour(label),
        )
        for box, score, label, further in zip(corners, scores, labels, classified)
        if score >= score_thr and np.isfinite(box).all()
    ]


def _caption(record: Mapping) -> str:
    """What a classification task says of a box."""
    return f'· {shorten(str(record["name"]))} ({record["score"]:.2f})'


def _draw_boxes(image: np.ndarray, boxes: list[tuple]) -> np.ndarray:
    """Frames, then captions; the surest is on top, and first to choose its caption's place."""
    pen = Pen(image)
    boxes = sorted(boxes, key=lambda entry: entry[0])
    for _, box, _, colour in boxes:
        pen.frame(box, colour)
    spots: list[Box | None] = []
    for _, box, text, _ in reversed(boxes):
        spots.append(_free_spot(pen, box, text, [spot for spot in spots if spot]))
    for (_, _, text, colour), spot in zip(boxes, reversed(spots)):
        if spot is not None:
            pen.chip(spot[0], spot[1], text, colour)
    return pen.image


def _free_spot(pen: Pen, box: Box, text: str, taken: list[Box]) -> Box | None:
    """Where the caption hides no other one: above the box, below, inside, beside, further off.

    None if there is no such place; the caption is left out then.
    """
    x1, y1, x2, y2 = box
    wide, high = pen.chip_width(text), pen.chip_height
    width, height = pen.picture.size
    rim = pen.line
    corners = [
        (x1, y1 - high),
        (x1, y2 + rim),
        (x1 + rim, y1 + rim),
        (x2 - wide, y1 - high),
        (x2 + rim, y1),
        (x1 - rim - wide, y1),
    ]
    corners += [(x1, y1 - step * high) for step in (2, 3)]
    corners += [(x1, y2 + rim + step * high) for step in (1, 2)]
    inside = [
        (min(max(x, 0), max(width - wide, 0)), min(max(y, 0), max(height - high, 0)))
        for x, y in corners
    ]
    # Pushed back into the picture, a caption may hide what its box shows.
    order = sorted(range(len(corners)), key=lambda i: inside[i][1] != corners[i][1])
    spots = [(x, y, x + wide, y + high) for x, y in (inside[i] for i in order)]
    return next((spot for spot in spots if not any(_overlap(spot, other) for other in taken)), None)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
