"""What a reader of own data finds: classes, samples by split, and the format to write."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allinone.conversion.data_set import Sample

__all__ = ['Found', 'Options']

UNSPLIT = ''


@dataclass(frozen=True)
class Options:
    """Options of the readers.

    Args:
        classes: File with the names of the classes, for formats without them.
        target: ``boxes`` or ``masks``, for formats that can be either.
    """

    classes: Path | None = None
    target: str = 'boxes'


@dataclass
class Found:
    """Own data as they were read.

    ``splits`` has the samples by ``train``, ``val`` and ``test``; by :data:`UNSPLIT` where the
    source has no splits. ``kind`` is ``det``, ``cls`` or ``seg``. ``by_class`` says that random
    splits take their share of each class. ``notes`` are those of the whole set, as of a sample.
    """

    classes: tuple[str, ...]
    splits: dict[str, list[Sample]]
    format: Any
    kind: str
    by_class: bool = False
    notes: tuple[tuple[str, str], ...] = ()
