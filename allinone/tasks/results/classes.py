"""Classes of an image as attributes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import TaskResult, optional


class ClassificationResult(TaskResult, dict):
    """The class of an image, ``{'label', 'name', 'score', 'top5'}``.

    Args:
        record: The record.
        scores: Of all classes ``(C,)``.

    Attributes:
        scores: Of all classes in their order, float32 ``(C,)``. Of a record that was read from a
            file those outside its best five are NaN.
    """

    columns = ('label', 'name', 'score')

    def __init__(self, record: dict, scores: np.ndarray):
        super().__init__(record)
        self.scores = scores

    @property
    def label(self) -> int | None:
        """Index of the best class."""
        return self['label']

    @property
    def name(self) -> str | None:
        """Name of the best class."""
        return self['name']

    @property
    def score(self) -> float | None:
        """Score of the best class."""
        return self['score']

    def entries(self) -> list[Mapping]:
        return self['top5']

    def rows(self) -> list[dict[str, Any]]:
        """One line: the best class."""
        return [{key: self[key] for key in self.columns}]

    def to_supervision(self):
        """``supervision.Classifications`` of all classes.

        Raises:
            ConfigError: If supervision is not installed.
        """
        return _classifications(self.scores)


class MultiLabelResult(TaskResult, dict):
    """The classes of an image, ``{'labels', 'scores'}``."""

    columns = ('label', 'name', 'score')

    @property
    def labels(self) -> np.ndarray:
        """Indices of the predicted classes, the best first, int64 ``(N,)``."""
        return np.array([entry['label'] for entry in self['labels']], np.int64)

    @property
    def names(self) -> list[str]:
        """Names of the predicted classes."""
        return [entry['name'] for entry in self['labels']]

    @property
    def scores(self) -> np.ndarray:
        """Of all classes in their order, float32 ``(C,)``."""
        return np.array(self['scores'], np.float32)

    def entries(self) -> list[Mapping]:
        return self['labels']

    def rows(self) -> list[dict[str, Any]]:
        """One line a predicted class."""
        return [{key: entry[key] for key in self.columns} for entry in self['labels']]

    def to_supervision(self):
        """``supervision.Classifications`` of all classes.

        Raises:
            ConfigError: If supervision is not installed.
        """
        return _classifications(self.scores)


def _classifications(scores: np.ndarray):
    supervision = optional('supervision', 'to_supervision()')
    return supervision.Classifications(class_id=np.arange(len(scores)), confidence=scores)
