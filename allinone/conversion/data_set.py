"""Description of a data set by its converter: parts of the download, splits and samples."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    'Box',
    'DataSet',
    'Part',
    'Sample',
    'Split',
]


class Box(NamedTuple):
    """A box in pixels; (0, 0) is the upper left corner of the image.

    ``crowd`` marks a region that counts neither as detected nor as missed (COCO's ``iscrowd``).
    """

    x: float
    y: float
    width: float
    height: float
    label: int
    crowd: bool = False


@dataclass(slots=True)
class Sample:
    """An image and its annotations. Paths are relative to the source, with ``/``.

    ``name`` and ``label_name`` are the file names in the converted set. Defaults: the image's name,
    and its stem with ``.png``. If the suffix of ``name`` differs from that of the file, the image
    is re-encoded instead of linked. In a format without label maps, ``label_map`` is another
    annotation file, which is linked if the format has a folder for it. ``notes`` are pairs of a
    kind in ``report.KINDS`` and the affected item.
    """

    image: str
    label: int | None = None
    boxes: Iterable[Box] = ()
    label_map: str | None = None
    name: str = ''
    label_name: str = ''
    notes: Iterable[tuple[str, str]] = ()

    def __post_init__(self):
        self.name = self.name or self.image.rsplit('/', 1)[-1]
        self.label_name = self.label_name or self.name.rsplit('.', 1)[0] + '.png'


@dataclass(frozen=True)
class Part:
    """A file or folder of the download, and the archive that contains it.

    ``files`` is the published number of files with ``suffix`` in a folder; None if the annotations
    name the files, so that errors can name each missing one.
    """

    path: str
    archive: str
    files: int | None = None
    suffix: str = ''


@dataclass(frozen=True)
class Split:
    """A split of a data set; ``samples(source)`` yields its samples.

    ``annotations`` is the part with their annotations; ``published`` is their published number,
    None if unknown.
    """

    name: str
    samples: Callable[[Path], Iterable[Sample]]
    annotations: str
    published: int | None


@dataclass(frozen=True)
class DataSet:
    """A data set as published, and its target format (``formats``).

    ``classes`` are the class names in index order, or a function ``classes(source)`` that reads
    them from the part ``names``.
    """

    name: str
    title: str
    home: str
    parts: tuple[Part, ...]
    splits: tuple[Split, ...]
    classes: tuple[str, ...] | Callable[[Path], tuple[str, ...]]
    format: Any
    names: str = ''
    options: Mapping[str, str] = field(default_factory=dict)

    def archive_of(self, path: str) -> str:
        """The archive that contains a path: that of the longest matching part."""
        holding = [
            part for part in self.parts if path == part.path or path.startswith(part.path + '/')
        ]
        return max(holding, key=lambda part: len(part.path)).archive if holding else self.home
