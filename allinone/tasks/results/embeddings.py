"""The embedding of an image as an array."""

from typing import Any

import numpy as np

from .base import TaskResult


class EmbeddingResult(TaskResult, dict):
    """The embedding of an image, ``{'embedding'}``."""

    columns = ('embedding',)

    @property
    def embedding(self) -> np.ndarray:
        """L2-normalised, float32 ``(D,)``; the inner product of two is their cosine similarity."""
        return np.array(self['embedding'], np.float32)

    def rows(self) -> list[dict[str, Any]]:
        """One line: the embedding as a list."""
        return [dict(embedding=self['embedding'])]
