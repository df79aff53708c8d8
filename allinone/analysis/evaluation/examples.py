"""The best and the worst predictions of a test, a few of each."""

import bisect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from allinone.tasks.analyses import Quality


class Example(NamedTuple):
    """An image with its prediction.

    Attributes:
        rank: What examples are sorted by, the first best.
        quality: How good the prediction is.
        path: The image file.
        record: The prediction as plain values.
        truth: Data sample of the ground truth.
    """

    rank: tuple[float, float, int]
    quality: Quality
    path: str
    record: Any
    truth: Any


class Examples:
    """Keeps the ``limit`` best and the ``limit`` worst images, each image in one of both.

    Of images with one value, those with more to find come first; of equal ones the first.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._best: list[Example] = []
        self._worst: list[Example] = []
        self._number = 0

    def add(self, quality: Quality, path: str, content: Callable[[], tuple[Any, Any]]) -> None:
        """Offer an image.

        Args:
            quality: How good its prediction is.
            path: The image file.
            content: Gives record and ground truth; called if the image is kept.
        """
        if math.isnan(quality.value):
            return
        self._number += 1
        kept: tuple[Any, Any] | None = None
        for group, value in ((self._best, -quality.value), (self._worst, quality.value)):
            rank = value, -quality.weight, self._number
            if len(group) == self.limit and (not group or rank > group[-1].rank):
                continue
            kept = kept or content()
            bisect.insort(group, Example(rank, quality, path, *kept), key=lambda part: part.rank)
            del group[self.limit :]

    @property
    def worst(self) -> list[Example]:
        """The worst ones, the worst first."""
        return self._worst

    @property
    def best(self) -> list[Example]:
        """The best ones, the best first, without those that are among the worst."""
        worst = {example.rank[2] for example in self._worst}
        return [example for example in self._best if example.rank[2] not in worst]
