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

    ``crowd`` marks a region that counts neither as detected nor as missed (COCO's ``iscrowd``),
    ``ignore`` an object that does not (VOC's ``difficult``). ``segmentation`` has COCO's form: a
    list of polygons ``[x1, y1, x2, y2, ...]``, or a run-length encoding. ``area`` is its area if
    the annotations say it.
    """

    x: float
    y: float
    width: float
    height: float
    label: int
    crowd: bool = False
    ignore: bool = False
    segmentation: Any = None
    area: float | None = None

    def scaled(self, width: float, height: float) -> 'Box':
        """The box of an image of this size, of one in fractions of the image's size."""
        polygons = self.segmentation and [
            [value * (width, height)[place % 2] for place, value in enumerate(polygon)]
            for polygon in self.segmentation
        ]
        return self._replace(
            x=self.x * width,
            y=self.y * height,
            width=self.width * width,
            height=self.height * height,
            segmentation=polygons,
        )


@dataclass(slots=True)
class Sample:
    """An image and its annotations. Paths are relative to the source, with ``/``.

    ``name`` and ``label_name`` are the file names in the converted set. Defaults: the image's name,
    and its stem with ``.png``. If the suffix of ``name`` differs from that of the file, the image
    is re-encoded instead of linked. In a format without label maps, ``label_map`` is another
    annotation file, which is linked if the format has a folder for it. ``notes`` are pairs of a
    kind in ``report.KINDS`` and the affected item.

    ``size`` is the image's size as the annotations say it; an image of another size is an error.
    ``relative`` boxes are fractions of the image's size. ``fault`` is the kind, file and reason of
    an error for which the sample cannot be used. ``embedded(path)`` returns the content of an image
    that lies inside of the file ``image``. ``camera`` is the one that took the image, for
    retrieval. ``listed`` is the file and line that name the image, for the error that it is
    missing.
    """

    image: str
    label: int | None = None
    boxes: Iterable[Box] = ()
    label_map: str | None = None
    name: str = ''
    label_name: str = ''
    notes: Iterable[tuple[str, str]] = ()
    size: tuple[int, int] | None = None
    relative: bool = False
    fault: tuple[str, str, str] | None = None
    embedded: Callable[[str], bytes] | None = None
    camera: str = ''
    listed: str = ''

    def __post_init__(self):
        self.name = self.name or self.image.rsplit('/', 1)[-1]
        self.label_name = self.label_name or self.name.rsplit('.', 1)[0] + '.png'


@dataclass(frozen=True)
class Part:
    """A file or folder of the download, and the archive that contains it.

    ``files`` is the published number of files with ``suffix`` in a folder; None if the annotations
    name the files, so that errors can name each missing one. ``watched`` folders, whose content
    people change, are converted again if any file has another size or time.
    """

    path: str
    archive: str
    files: int | None = None
    suffix: str = ''
    watched: bool = False


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
    them from the part ``names``. ``remedy`` is what to do about damaged files, in errors.
    ``notes`` are those of the whole set, as of a sample.
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
    remedy: str = 'unpack what is named again'
    notes: tuple[tuple[str, str], ...] = ()

    def archive_of(self, path: str) -> str:
        """The archive that contains a path: that of the longest matching part."""
        holding = [
            part for part in self.parts if path == part.path or path.startswith(part.path + '/')
        ]
        return max(holding, key=lambda part: len(part.path)).archive if holding else self.home
