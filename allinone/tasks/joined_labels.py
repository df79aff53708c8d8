"""Labels of several tasks of one image under the keys that transforms of the libraries change."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from allinone.io.image_files import IGNORED

LABEL_STEP = 10**6  # Labels of the i-th task are moved by i times this number.
NO_TASK = -1  # Label of the box that stands for an image without boxes of any task
INT_MAPS = 3  # Number of 8-bit maps that fit an int32, which OpenCV warps


class JoinedLabels:
    """Labels of one or several tasks as one, so that a transform changes all of them alike.

    Attributes:
        keys: Those of the sample that hold the labels.
        most: Number of tasks that can be joined; None: any.
    """

    keys: ClassVar[Sequence[str]] = ()
    most: ClassVar[int | None] = None

    @classmethod
    def placeholder(cls, shape: tuple[int, int]) -> dict | None:
        """Sample from which labels are loaded if an image has none of any task; None: none are.

        Args:
            shape: ``(H, W)`` of the image file.
        """
        return None

    @classmethod
    def join(cls, labels: Mapping[str, Mapping | None], shape: tuple[int, int]) -> dict:
        """The keys of a sample for the labels of all tasks.

        Args:
            labels: ``{task: what its library loads}``, None for a task without labels, in the order
                of the tasks.
            shape: ``(H, W)`` of the image file.
        """
        raise NotImplementedError

    @classmethod
    def split(cls, results: Mapping, tasks: Sequence[str]) -> dict[str, dict]:
        """Undo :meth:`join` after the transforms, task by task.

        Args:
            results: The sample.
            tasks: All tasks, in the order in which they were joined.
        """
        raise NotImplementedError

    @classmethod
    def mark(cls, results: Mapping, tasks: Sequence[str], boxes: np.ndarray) -> dict:
        """The keys with the labels of all tasks replaced by these boxes, for a trial of transforms.

        Args:
            results: The sample after :meth:`join`.
            tasks: All tasks.
            boxes: ``(N, 4)``, left, top, right and bottom, integers in pixels.
        """
        raise NotImplementedError

    @classmethod
    def places(cls, results: Mapping) -> dict[str, np.ndarray]:
        """``{what it is: array}`` of what must change when the image moves."""
        raise NotImplementedError


class JoinedBoxes(JoinedLabels):
    """Boxes of all tasks in one list; the label says which task a box is of.

    An image without boxes' labels of any task has one box as large as the image, that of no task:
    transforms that need a box, or leave out images without any, treat it like other images.
    """

    keys = ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks')

    @classmethod
    def placeholder(cls, shape: tuple[int, int]) -> dict:
        height, width = shape
        corners = [0, 0, width, 0, width, height, 0, height]
        box = dict(bbox=[0, 0, width, height], bbox_label=NO_TASK, mask=[corners], ignore_flag=0)
        return dict(instances=[box])

    @classmethod
    def join(cls, labels: Mapping[str, Mapping | None], shape: tuple[int, int]) -> dict:
        loaded = [
            {key: part[key] for key in cls.keys if key in part}
            | dict(gt_bboxes_labels=part['gt_bboxes_labels'] + index * LABEL_STEP)
            for index, part in enumerate(labels.values())
            if part is not None
        ]
        if len(loaded) == 1:
            return loaded[0]
        joined = dict(
            gt_bboxes=_cat([part['gt_bboxes'] for part in loaded]),
            gt_bboxes_labels=np.concatenate([part['gt_bboxes_labels'] for part in loaded]),
            gt_ignore_flags=np.concatenate([part['gt_ignore_flags'] for part in loaded]),
        )
        masks = next((part['gt_masks'] for part in loaded if 'gt_masks' in part), None)
        if masks is not None:
            joined['gt_masks'] = masks.cat(
                [
                    part['gt_masks']
                    if 'gt_masks' in part
                    else _box_masks(type(masks), _numbers(part['gt_bboxes']), shape)
                    for part in loaded
                ]
            )
        return joined

    @classmethod
    def split(cls, results: Mapping, tasks: Sequence[str]) -> dict[str, dict]:
        present = {key: results[key] for key in cls.keys if key in results}
        owners = present['gt_bboxes_labels'] // LABEL_STEP
        if len(tasks) == 1 and (owners == 0).all():
            return {tasks[0]: present}
        parts = {}
        for index, task in enumerate(tasks):
            chosen = np.flatnonzero(owners == index)
            parts[task] = {key: value[chosen] for key, value in present.items()}
            parts[task]['gt_bboxes_labels'] = parts[task]['gt_bboxes_labels'] - index * LABEL_STEP
        return parts

    @classmethod
    def mark(cls, results: Mapping, tasks: Sequence[str], boxes: np.ndarray) -> dict:
        count = len(tasks)
        corners = np.tile(boxes, (count, 1)).astype(np.float32)
        kind = type(results['gt_bboxes'])
        marked: dict[str, Any] = dict(
            gt_bboxes=corners if kind is np.ndarray else kind(corners),
            gt_bboxes_labels=np.arange(count).repeat(len(boxes)) * LABEL_STEP,
            gt_ignore_flags=np.zeros(len(corners), bool),
        )
        if 'gt_masks' in results:
            masks = results['gt_masks']
            marked['gt_masks'] = _box_masks(type(masks), corners, (masks.height, masks.width))
        return marked

    @classmethod
    def places(cls, results: Mapping) -> dict[str, np.ndarray]:
        arrays = dict(boxes=_numbers(results['gt_bboxes']))
        if 'gt_masks' in results:
            arrays['masks'] = results['gt_masks'].to_ndarray()
        return arrays


class JoinedMaps(JoinedLabels):
    """Label maps of all tasks in one map, whose value at a pixel stands for the labels of all.

    A value below 256 is the label of every task, so that a transform which fills with a label, such
    as 255, fills the map of each task. Others are ``256 + a + 256 * b + 65536 * c ...`` for the
    labels a, b, c. The map of a single task stays as it is. A task without labels is ignored
    everywhere.
    """

    keys = ('gt_seg_map', 'seg_fields')
    most = 6  # A double has 53 bits.

    @classmethod
    def join(cls, labels: Mapping[str, Mapping | None], shape: tuple[int, int]) -> dict:
        maps = [None if part is None else part['gt_seg_map'] for part in labels.values()]
        if len(maps) == 1:
            joined = np.full(shape, IGNORED, np.uint8) if maps[0] is None else maps[0]
        else:
            joined = cls.encode(maps, shape)
        return dict(gt_seg_map=joined, seg_fields=['gt_seg_map'])

    @classmethod
    def split(cls, results: Mapping, tasks: Sequence[str]) -> dict[str, dict]:
        joined, fields = results['gt_seg_map'], results['seg_fields']
        maps = [joined] if len(tasks) == 1 else cls.decode(joined, len(tasks))
        return {
            task: dict(gt_seg_map=labels, seg_fields=list(fields))
            for task, labels in zip(tasks, maps)
        }

    @staticmethod
    def encode(maps: Sequence[np.ndarray | None], shape: tuple[int, int]) -> np.ndarray:
        """One map of several; None is a map that is ignored everywhere."""
        number: type[np.signedinteger] = np.int64 if len(maps) > INT_MAPS else np.int32
        joined = np.full(shape, 256, number)
        ignored = 256
        for index, labels in enumerate(maps):
            step = 256**index
            ignored += IGNORED * step
            if labels is None:
                joined += IGNORED * step
            else:
                joined += np.multiply(labels, step, dtype=number)
        joined[joined == ignored] = IGNORED
        return joined if number is np.int32 else joined.astype(np.float64)

    @staticmethod
    def decode(joined: np.ndarray, count: int) -> list[np.ndarray]:
        """The maps, ``(H, W)`` uint8, of :meth:`encode`."""
        if joined.dtype == np.float64:
            joined = joined.astype(np.int64)
        filled = joined < 256
        fill = joined[filled].astype(np.uint8)
        rest = joined - 256
        maps = []
        for index in range(count):
            labels = (rest >> (8 * index)).astype(np.uint8)  # The lowest 8 bits
            labels[filled] = fill
            maps.append(labels)
        return maps

    @classmethod
    def mark(cls, results: Mapping, tasks: Sequence[str], boxes: np.ndarray) -> dict:
        shape = results['gt_seg_map'].shape
        labels = np.zeros(shape, np.uint8)
        for left, top, right, bottom in boxes:
            labels[top:bottom, left:right] = 1
        return cls.join(dict.fromkeys(tasks, dict(gt_seg_map=labels)), shape)

    @classmethod
    def places(cls, results: Mapping) -> dict[str, np.ndarray]:
        return {'label maps': np.asarray(results['gt_seg_map'])}


def _cat(boxes: list):
    return np.concatenate(boxes) if isinstance(boxes[0], np.ndarray) else boxes[0].cat(boxes)


def _numbers(boxes) -> np.ndarray:
    return boxes.copy() if isinstance(boxes, np.ndarray) else boxes.tensor.numpy().copy()


def _box_masks(kind: type, boxes: np.ndarray, shape: tuple[int, int]):
    """Masks of this class of mmdet that fill boxes ``(N, 4)`` in an image ``(H, W)``."""
    from mmdet.structures.mask import BitmapMasks

    height, width = shape
    if issubclass(kind, BitmapMasks):
        masks = np.zeros((len(boxes), height, width), np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.round().astype(int)):
            mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 1
        return kind(masks, height, width)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    return kind([[outline] for outline in corners], height, width)
