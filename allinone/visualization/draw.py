"""Drawing of the predictions of all tasks on one image."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from allinone.io.image_files import IGNORED
from allinone.registry.kinds import kind_of_prediction

from .annotator import DASHES, Annotator, Box, shorten
from .legend import Row, add_strip
from .palette import ClassTable, Colour

SMALLEST_SIDE, LARGEST_SIDE = 480, 1920  # limits for scaling an image up
OPACITY = 0.42
LEGEND_ENTRIES = 24
FRAMES = tuple(DASHES)  # of the boxes of the first task, of the second, ...
MOST_LABELS = 1 << 16


class Drawing:
    """An image with the predictions of tasks in layers: regions, instances, boxes, labels.

    Coordinates and masks are in pixels of ``image``; the drawing may be scaled up so that its
    letters are readable.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
    """

    def __init__(self, image: np.ndarray):
        height, width = image.shape[:2]
        self._image = _readable(np.ascontiguousarray(image))
        self._scale = np.array([self._image.shape[1] / width, self._image.shape[0] / height])
        self._labels: list[Row] = []
        self._regions: list[tuple] = []
        self._instances: list[tuple] = []
        self._boxes: list[tuple] = []
        self._box_tasks: list[str] = []

    def add_labels(self, task: str, labels: Sequence[str]) -> None:
        """Add a line below the image."""
        self._labels.append((task, [(label, None) for label in labels]))

    def add_regions(self, task: str, mask: np.ndarray, table: ClassTable) -> None:
        """Blend in the classes of a label map ``(H, W)``, with a legend below the image."""
        self._regions.append((task, mask, table))

    def add_instances(self, masks: np.ndarray, labels: np.ndarray, table: ClassTable) -> None:
        """Blend in masks ``(n, H, W)`` in the colours of their classes."""
        self._instances.append((masks, labels, table))

    def add_box_task(self, task: str) -> None:
        """Name a task whose boxes follow, also if it has none on this image.

        Boxes of several tasks have frames of different dashes, which lines below the image
        explain, and the task in their captions.
        """
        if task not in self._box_tasks:
            self._box_tasks.append(task)

    def add_box(
        self, score: float, box: np.ndarray, caption: str, colour: tuple, task: str = ''
    ) -> None:
        """Add a frame ``x1 y1 x2 y2`` with a caption; higher scores are drawn on top."""
        if task:
            self.add_box_task(task)
        corners = tuple((np.asarray(box) * np.tile(self._scale, 2)).tolist())
        self._boxes.append((score, corners, caption, colour, task))

    def render(self) -> np.ndarray:
        """Return the drawing as uint8 RGB."""
        image, rows = self._image, list(self._labels)
        for task, mask, table in self._regions:
            labels = _present(mask, table)
            image = _blend(image, mask, labels, table)
            rows.append(_legend(task, labels, table))
        for masks, labels, table in self._instances:
            image = _blend_instances(image, masks, labels, table)
        styles = {task: FRAMES[index % len(FRAMES)] for index, task in enumerate(self._box_tasks)}
        if len(styles) > 1:
            rows += [(task, [(f'{style} frames', None)]) for task, style in styles.items()]
        if self._boxes:
            image = _draw_boxes(image, self._boxes, styles)
        return add_strip(image, rows)


def draw_tasks(
    image: np.ndarray,
    predictions: Mapping,
    metainfo: Mapping | None = None,
    score_thr: float = 0.3,
    kinds: Mapping | None = None,
) -> np.ndarray:
    """Draw masks, boxes and class labels together.

    Masks are blended in; boxes have name and score; a strip below the image has the class labels
    and a legend of the mask's classes.

    Args:
        image: uint8 RGB ``(H, W, 3)``, the image in its original size.
        predictions: ``{task: data sample}`` in pixels of ``image``; boxes without scores are
            drawn without them.
        metainfo: ``{task: {'classes': names, 'palette': RGB colours}}``. Default: numbers and
            fixed distinct colours.
        score_thr: Boxes below this score are not drawn.
        kinds: ``{task: TaskKind}``. Default: by the fields of each data sample.

    Returns:
        uint8 RGB ``(H' + strip, W', 3)``. ``(H', W')`` is ``(H, W)``, but images with a short
        side below 480 are scaled up to be readable.

    Raises:
        DataError: If a data sample is not a prediction of its kind, or of any kind.
    """
    drawing = Drawing(image)
    tables = _class_tables(predictions, metainfo or {})
    for task, sample in predictions.items():
        kind = (kinds or {}).get(task) or kind_of_prediction(sample)
        kind.require(sample, f'the prediction of task {task}')
        kind.draw(drawing, task, sample, tables[task], score_thr)
    return drawing.render()


def to_numpy(values) -> np.ndarray:
    """Convert a tensor on any device, or mmdet's box and mask types, to an array."""
    values = getattr(values, 'masks', getattr(values, 'tensor', values))
    return values.detach().cpu().numpy() if hasattr(values, 'detach') else np.asarray(values)


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
    """``mask`` ``(H, W, ...)``, uint8, resized to ``shape``."""
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _blend(image: np.ndarray, mask: np.ndarray, labels: list[int], table: ClassTable) -> np.ndarray:
    """Blend in the given ``labels`` of ``mask`` ``(H, W)``; other pixels do not change."""
    largest = max(labels, default=-1)
    # Values below the first label or above the last map to the ends, which are not drawn.
    index = np.clip(mask.astype(np.intp), -1, largest + 1) + 1
    drawn, colours = np.zeros(largest + 3, np.uint8), np.zeros((largest + 3, 3), np.uint8)
    for label in labels:
        drawn[label + 1], colours[label + 1] = 1, table.colour(label)
    shape = image.shape[:2]
    coloured = _resized(colours.take(index, 0), shape)
    blended = cv2.addWeighted(coloured, OPACITY, image, 1 - OPACITY, 0)
    return cv2.copyTo(blended, _resized(drawn.take(index), shape), image.copy())


def label_areas(mask: np.ndarray) -> dict[int, int]:
    """``{label: pixels}`` of the labels in ``mask``, in ascending order."""
    if mask.dtype.itemsize > 2 and np.ptp(mask) >= MOST_LABELS:
        return {int(label): int(area) for label, area in zip(*np.unique(mask, return_counts=True))}
    lowest = int(mask.min())
    # Counting takes a fifth of the time of sorting.
    areas = np.bincount(mask.ravel(order='K').astype(np.intp) - lowest)
    return {int(i) + lowest: int(areas[i]) for i in np.flatnonzero(areas)}


def _present(mask: np.ndarray, table: ClassTable) -> list[int]:
    """Labels of the classes in the mask, largest area first."""
    limit = len(table.classes) or IGNORED
    areas = label_areas(mask)
    return sorted((label for label in areas if 0 <= label < limit), key=lambda i: -areas[i])


def _legend(task: str, labels: list[int], table: ClassTable) -> Row:
    entries: list[tuple[str, Colour | None]] = [
        (shorten(table.name(label)), table.colour(label)) for label in labels[:LEGEND_ENTRIES]
    ]
    if len(labels) > LEGEND_ENTRIES:
        entries.append((f'and {len(labels) - LEGEND_ENTRIES} more', None))
    return task, entries


def _blend_instances(
    image: np.ndarray, masks: np.ndarray, labels: np.ndarray, table: ClassTable
) -> np.ndarray:
    image = image.copy()
    for mask, label in zip(masks, labels):
        inside = _resized(mask.astype(np.uint8), image.shape[:2]) > 0
        colour = np.array(table.colour(int(label)))
        image[inside] = (OPACITY * colour + (1 - OPACITY) * image[inside]).astype(np.uint8)
    return image


def _draw_boxes(image: np.ndarray, boxes: list[tuple], styles: Mapping[str, str]) -> np.ndarray:
    """Draw frames, then captions; the highest score is on top and gets its caption placed first."""
    annotator = Annotator(image)
    boxes = sorted(boxes, key=lambda entry: entry[0])
    for _, box, _, colour, task in boxes:
        annotator.frame(box, colour, styles.get(task, FRAMES[0]))
    texts = [
        f'{task}: {text}' if task and len(styles) > 1 else text for _, _, text, _, task in boxes
    ]
    spots: list[Box | None] = []
    for (_, box, *_), text in zip(reversed(boxes), reversed(texts)):
        spots.append(_free_spot(annotator, box, text, [spot for spot in spots if spot]))
    for (_, _, _, colour, _), text, spot in zip(boxes, texts, reversed(spots)):
        if spot is not None:
            annotator.label(spot[0], spot[1], text, colour)
    return annotator.image


def _free_spot(annotator: Annotator, box: Box, text: str, taken: list[Box]) -> Box | None:
    """Spot where the caption hides no other: above, below, inside, beside, or further away.

    None if there is no such spot; the caption is then not drawn.
    """
    x1, y1, x2, y2 = box
    wide, high = annotator.label_width(text), annotator.label_height
    width, height = annotator.canvas.size
    rim = annotator.line
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
    # A caption that is moved back into the image may hide the content of its box, so it is last.
    order = sorted(range(len(corners)), key=lambda i: inside[i][1] != corners[i][1])
    spots = [(x, y, x + wide, y + high) for x, y in (inside[i] for i in order)]
    return next((spot for spot in spots if not any(_overlap(spot, other) for other in taken)), None)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
