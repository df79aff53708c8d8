"""What a converter says of its data set: the parts of the download, its splits, their samples."""

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
    """A box in pixels, (0, 0) being the upper left corner of the image.

    ``crowd`` marks a region that neither counts as found nor as missed (COCO's ``iscrowd``).
    """

    x: float
    y: float
    width: float
    height: float
    label: int
    crowd: bool = False


@dataclass(slots=True)
class Sample:
    """An image and what is known of it. Paths are relative to the source, with ``/``.

    ``name`` and ``label_name`` are the file names in the converted set, by default the image's
    own, and its stem with ``.png``. An image whose ``name`` has another suffix than its file is
    not linked, but written in that format. In a format that reads no label maps, ``label_map`` is
    another file of labels, which is linked if the format has a folder for it. ``notes`` are pairs
    of a kind of ``report.KINDS`` and what it was met in.
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
    """A file or folder of the download, and the archive that holds it.

    ``files`` is the published number of files with ``suffix`` in a folder; None where the
    annotations name the files, so that each missing one is named.
    """

    path: str
    archive: str
    files: int | None = None
    suffix: str = ''


@dataclass(frozen=True)
class Split:
    """``samples(source)`` gives the samples of a split, one after the other.

    ``annotations`` is the part they are read from; ``published`` is how many there are, None where
    nobody says.
    """

    name: str
    samples: Callable[[Path], Iterable[Sample]]
    annotations: str
    published: int | None


@dataclass(frozen=True)
class DataSet:
    """A data set as published, and the format (``formats``) that it is converted to.

    ``classes`` are the names in the order of their numbers, or ``classes(source)`` reads them from
    the part ``names``.
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
        """The archive that holds a path: that of the longest part it lies in."""
        holding = [
            part for part in self.parts if path == part.path or path.startswith(part.path + '/')
        ]
        return max(holding, key=lambda part: len(part.path)).archive if holding else self.home
