"""Boxes of an image as arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..masks import decode_mask
from .base import TaskResult, optional


class DetectionResult(TaskResult, list):
    """The instances of an image, ``{'bbox', 'label', 'name', 'score'}`` each.

    Arrays are made at each access, so what is read in a loop belongs into a variable.

    >>> result['det'].boxes[result['det'].scores > 0.5]
    >>> confident = result['det'][result['det'].scores > 0.5]  # a DetectionResult again
    """

    columns = ('label', 'name', 'score', 'x1', 'y1', 'x2', 'y2')

    def __getitem__(self, index) -> Any:
        """An instance; or those of a slice, of indices or of an array of bools."""
        if isinstance(index, slice):
            return type(self)(super().__getitem__(index))
        if isinstance(index, (np.ndarray, list, tuple)):
            # numpy makes an empty list an array of floats, which are no indices.
            chosen = np.asarray(index) if len(index) else np.zeros(0, np.int64)
            return type(self)(self[i] for i in np.arange(len(self))[chosen].tolist())
        return super().__getitem__(index)

    @property
    def boxes(self) -> np.ndarray:
        """``x1, y1, x2, y2`` in pixels of the image, float32 ``(N, 4)``."""
        return np.array([entry['bbox'] for entry in self], np.float32).reshape(-1, 4)

    @property
    def labels(self) -> np.ndarray:
        """Class indices, int64 ``(N,)``."""
        return np.array([entry['label'] for entry in self], np.int64)

    @property
    def names(self) -> list[str]:
        """Names of the classes, of each instance."""
        return [entry['name'] for entry in self]

    @property
    def scores(self) -> np.ndarray:
        """float32 ``(N,)``."""
        return np.array([entry['score'] for entry in self], np.float32)

    @property
    def masks(self) -> np.ndarray | None:
        """bool ``(N, H, W)``; None if the model gives no masks, or nothing is found."""
        if not self or 'mask' not in self[0]:
            return None
        return np.stack([decode_mask(entry['mask']) for entry in self])

    @property
    def embeddings(self) -> np.ndarray | None:
        """Of ``embed_boxes``, L2-normalised, float32 ``(N, D)``.

        None if it was not given, or nothing is found.
        """
        found = [
            record['embedding']
            for entry in self
            for record in entry.values()
            if isinstance(record, Mapping) and 'embedding' in record
        ]
        return np.array(found, np.float32) if found else None

    def entries(self) -> list[Mapping]:
        return list(self)

    def rows(self) -> list[dict[str, Any]]:
        """One line a box, with the class of each task that classified it."""
        return [
            dict(
                label=entry['label'],
                name=entry['name'],
                score=entry['score'],
                **dict(zip(('x1', 'y1', 'x2', 'y2'), entry['bbox'])),
                **{
                    task: found.get('name') or ', '.join(e['name'] for e in found.get('labels', ()))
                    for task, found in entry.items()
                    if task != 'mask' and isinstance(found, dict) and 'embedding' not in found
                },
            )
            for entry in self
        ]

    def to_supervision(self):
        """``supervision.Detections``, with the names as ``data['class_name']``.

        Raises:
            ConfigError: If supervision is not installed.
        """
        return optional('supervision', 'to_supervision()').Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=self.labels,
            data={'class_name': np.array(self.names, dtype=str)},
        )
