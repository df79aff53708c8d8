"""The label map of an image as an array."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..masks import decode_mask
from .base import TaskResult, optional

NO_LABEL = -1


class SegmentationResult(TaskResult, list):
    """The classes in an image, ``{'label', 'name', 'area', 'segmentation'}`` each.

    Arrays are made at each access, so what is read in a loop belongs into a variable.
    """

    columns = ('label', 'name', 'area', 'share')

    @property
    def map(self) -> np.ndarray:
        """Class index of each pixel, int64 ``(H, W)``."""
        found = np.full(self[0]['segmentation']['size'], NO_LABEL, np.int64)
        for entry in self:
            found[decode_mask(entry['segmentation'])] = entry['label']
        return found

    @property
    def labels(self) -> np.ndarray:
        """Indices of the classes in the image, int64 ``(N,)``."""
        return np.array([entry['label'] for entry in self], np.int64)

    @property
    def names(self) -> list[str]:
        """Names of the classes in the image."""
        return [entry['name'] for entry in self]

    @property
    def areas(self) -> dict[str, float]:
        """``{name: share of the image's pixels}`` of the classes in the image."""
        shares: dict[str, float] = {}
        for entry in self:
            shares[entry['name']] = shares.get(entry['name'], 0) + _share(entry)
        return shares

    def entries(self) -> list[Mapping]:
        return list(self)

    def rows(self) -> list[dict[str, Any]]:
        """One line a class in the image, with its area in pixels and its share of the image."""
        return [
            dict(label=entry['label'], name=entry['name'], area=entry['area'], share=_share(entry))
            for entry in self
        ]

    def to_supervision(self):
        """``supervision.Detections`` of one mask a class, with ``data['class_name']``.

        Raises:
            ConfigError: If supervision is not installed.
        """
        supervision = optional('supervision', 'to_supervision()')
        masks = np.stack([decode_mask(entry['segmentation']) for entry in self])
        return supervision.Detections(
            xyxy=np.array([_extent(mask) for mask in masks], np.float32),
            mask=masks,
            class_id=self.labels,
            data={'class_name': np.array(self.names, dtype=str)},
        )


def _share(entry: dict) -> float:
    height, width = entry['segmentation']['size']
    return entry['area'] / (height * width)


def _extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """``x1, y1, x2, y2`` around the pixels of a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
