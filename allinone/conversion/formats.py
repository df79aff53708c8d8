"""Formats of a converted set: image and identity lists, COCO boxes, VOC XML, label maps."""

import json
import math
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .data_set import Box, Sample
from .files import json_elements, place, replacing
from .label_maps import Colours, Values
from .polygons import box_area
from .report import Report

__all__ = [
    'CocoAsIs',
    'CocoBoxes',
    'LabelMaps',
    'IdentityLists',
    'ListedLabelMaps',
    'ImageListDataset',
    'VocXml',
]


class ImageListDataset:
    """``SPLIT.txt`` with lines ``NAME LABEL`` beside ``SPLIT/``, for ``allinone.ImageListDataset``.

    ``classes.txt`` has one class name per line.
    """

    def folders(self, split: str) -> tuple[str, ...]:
        return (split,)

    def files(self, split: str) -> tuple[str, ...]:
        return (f'{split}.txt', 'classes.txt')

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        with replacing(os.path.join(out, f'{split}.txt')) as file:
            yield _ListWriter(file)
        with replacing(os.path.join(out, 'classes.txt')) as names:
            names.write('\n'.join(report.classes) + '\n')


class _ListWriter:
    boxes = None

    def __init__(self, file):
        self.file = file
        self.labels = Counter()

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        self.file.write(f'{sample.name} {sample.label}\n')
        self.labels[sample.label] += 1


class IdentityLists:
    """``SPLIT.txt`` beside ``SPLIT/``, for ``allinone.IdentityDataset``.

    Its lines are ``SPLIT/NAME IDENTITY``, with the camera behind where images have one, separated
    by tabs. Identities are the names of the classes.
    """

    def folders(self, split: str) -> tuple[str, ...]:
        return (split,)

    def files(self, split: str) -> tuple[str, ...]:
        return (f'{split}.txt',)

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        with replacing(os.path.join(out, f'{split}.txt')) as file:
            yield _IdentityWriter(file, split, report.classes)


class _IdentityWriter(_ListWriter):
    def __init__(self, file, split: str, identities: tuple[str, ...]):
        super().__init__(file)
        self.split, self.identities = split, identities

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        assert sample.label is not None
        fields = [f'{self.split}/{sample.name}', self.identities[sample.label], sample.camera]
        self.file.write('\t'.join(filter(None, fields)) + '\n')
        self.labels[sample.label] += 1


class CocoBoxes:
    """``SPLIT.json`` in COCO's format beside ``SPLIT/``; categories are numbered from 1."""

    def folders(self, split: str) -> tuple[str, ...]:
        return (split,)

    def files(self, split: str) -> tuple[str, ...]:
        return (f'{split}.json',)

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        with replacing(os.path.join(out, f'{split}.json')) as file:
            writer = _CocoWriter(file, report)
            yield writer
            writer.close()


class _CocoWriter:
    """Writes boxes to the file at once; holds one line per image in memory until the end."""

    def __init__(self, file, report: Report):
        self.file, self.report = file, report
        self.labels: Counter[int] = Counter()
        self.images: list[str] = []
        self.boxes = self.masks = 0
        categories = [dict(id=number, name=name) for number, name in enumerate(report.classes, 1)]
        file.write(f'{{"categories": {json.dumps(categories)},\n"annotations": [')

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        number = len(self.images) + 1
        width, height = size
        self.images.append(
            f'{{"id": {number}, "file_name": {json.dumps(sample.name)}, '
            f'"width": {width}, "height": {height}}}'
        )
        for box in sample.boxes:
            kept, problem = clip(box, width, height)
            if problem:
                self.report.note(problem, f'{sample.name} {[*box[:4]]}')
            if not kept:
                continue
            self.boxes += 1
            x, y, w, h = kept
            area = w * h if box.segmentation is None else box_area(box, w * h)
            line = (self.boxes, number, box.label + 1, x, y, w, h, area, box.crowd)
            more = '' if box.segmentation is None and not box.ignore else _more(box)
            self.file.write((',' if self.boxes > 1 else '') + BOX % line + more + '}')
            self.masks += box.segmentation is not None
            self.labels[box.label] += 1

    def close(self) -> None:
        self.file.write('],\n"images": [\n')
        self.file.write(',\n'.join(self.images))
        self.file.write(']}\n')


# One format string, as there are millions; seven digits resolve a thousandth of a pixel.
BOX = (
    '\n{"id": %d, "image_id": %d, "category_id": %d, "bbox": [%.7g, %.7g, %.7g, %.7g], '
    '"area": %.9g, "iscrowd": %d'
)
DECIMALS = 3  # of a polygon's coordinates


def _more(box: Box) -> str:
    """The parts of an annotation that few have."""
    more = ', "ignore": 1' if box.ignore else ''
    if box.segmentation is None:
        return more
    shape = box.segmentation
    if not isinstance(shape, dict):
        shape = [[round(value, DECIMALS) for value in polygon] for polygon in shape]
    return f'{more}, "segmentation": {json.dumps(shape)}'


@dataclass(frozen=True)
class CocoAsIs:
    """A set that already has COCO's format: images and annotations are checked and linked.

    For an incomplete copy, annotations are rewritten without the missing images.

    Args:
        source: The download, which has the folders and files below, too.
        images: Folder with a split's images.
        annotations: Its annotation file.
    """

    source: Path
    images: str
    annotations: str

    def folders(self, split: str) -> tuple[str, ...]:
        return (self.images.format(split=split),)

    def files(self, split: str) -> tuple[str, ...]:
        return (self.annotations.format(split=split),)

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        before, writer = report.faults, _ImageCounter(report)
        yield writer
        name = self.annotations.format(split=split)
        source, target = os.path.join(self.source, name), os.path.join(out, name)
        if report.faults == before:
            place(source, target, link)
        else:
            _write_kept(source, target, writer.names)


class _BoxCounter:
    def __init__(self, report: Report):
        self.report = report
        self.labels: Counter[int] = Counter()
        self.boxes = 0

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        for box in sample.boxes:
            _, problem = clip(box, *size)
            if problem:
                self.report.note(problem, f'{sample.name} {[*box[:4]]}', done='kept')
            self.boxes += 1
            self.labels[box.label] += 1


class _ImageCounter(_BoxCounter):
    def __init__(self, report: Report):
        super().__init__(report)
        self.names: set[str] = set()

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        super().add(sample, size, pixels)
        self.names.add(sample.name)


def _write_kept(source: str, target: str, names: set[str]) -> None:
    """Write a COCO annotation file with only the images of these names and their annotations."""
    kept = {
        found['id']
        for found in json_elements(source, 'images')
        if found['file_name'].rsplit('/', 1)[-1] in names
    }
    id_of = dict(images='id', annotations='image_id')
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with replacing(target) as file:
        for part in ('categories', *id_of):
            file.write(f'{"{" if part == "categories" else ","}"{part}": [')
            separator = ''
            for found in json_elements(source, part):
                if part not in id_of or found[id_of[part]] in kept:
                    file.write(f'{separator}\n{json.dumps(found)}')
                    separator = ','
            file.write(']')
        file.write('}\n')


class VocXml:
    """Linked ``SPLIT/JPEGImages`` and ``SPLIT/Annotations``, and ``SPLIT.txt`` with their names."""

    def folders(self, split: str) -> tuple[str, ...]:
        return (f'{split}/JPEGImages', f'{split}/Annotations')

    def files(self, split: str) -> tuple[str, ...]:
        return (f'{split}.txt',)

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        with replacing(os.path.join(out, f'{split}.txt')) as file:
            yield _NameWriter(report, file)


class _NameWriter(_BoxCounter):
    def __init__(self, report: Report, file):
        super().__init__(report)
        self.file = file

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        super().add(sample, size, pixels)
        self.file.write(sample.name.rsplit('.', 1)[0] + '\n')


def clip(box: Box, width: int, height: int) -> tuple[tuple | None, str | None]:
    """Clip a box to its image: ``(x, y, width, height)``, and the kind of problem.

    The result is None for boxes outside the image or with less than a pixel in it.
    """
    x, y, w, h = box[:4]
    if x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= width and y + h <= height:
        return (x, y, w, h), None
    if not (math.isfinite(x) and math.isfinite(y) and w > 0 and h > 0 and w + h < math.inf):
        return None, 'box smaller than a pixel'
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return None, 'box outside its image'
    if right - left < 1 or bottom - top < 1:
        return None, 'box smaller than a pixel'
    # Ignores rounding errors of x + w
    out = left > x or top > y or x + w > width + 1e-3 or y + h > height + 1e-3
    kept = (left, top, right - left, bottom - top)
    return kept, 'box reaches out of its image' if out else None


@dataclass(frozen=True)
class LabelMaps:
    """Images and label maps with equal stems in two folders, by default those of Track 1.

    Label maps of class indices are linked like images; others are written as single-channel PNG of
    class indices, with 255 for ignored pixels.
    """

    coding: Values | Colours
    images: str = 'images/{split}'
    labels: str = 'label/{split}'

    def folders(self, split: str) -> tuple[str, ...]:
        return (self.images.format(split=split), self.labels.format(split=split))

    def files(self, split: str) -> tuple[str, ...]:
        return ()

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        yield _PixelCounter()


@dataclass(frozen=True)
class ListedLabelMaps(LabelMaps):
    """Label maps as :class:`LabelMaps`, with the names of the images in ``SPLIT.txt``.

    Args:
        suffix: That of all images, which the lists leave out; empty if they have several, and then
            label maps are called as their image with ``.png`` behind.
    """

    suffix: str = ''

    def files(self, split: str) -> tuple[str, ...]:
        return (f'{split}.txt',)

    def label_name(self, name: str) -> str:
        """Name of the label map of an image."""
        return f'{name.removesuffix(self.suffix)}.png'

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        with replacing(os.path.join(out, f'{split}.txt')) as file:
            yield _PixelLister(file, self.suffix)


class _PixelCounter:
    boxes = None

    def __init__(self):
        self.labels = Counter()

    def add(self, sample: Sample, size: tuple[int, int], pixels: dict[int, int]) -> None:
        self.labels.update(pixels)


class _PixelLister(_PixelCounter):
    def __init__(self, file, suffix: str):
        super().__init__()
        self.file, self.suffix = file, suffix

    def add(self, sample: Sample, size: tuple[int, int], pixels: dict[int, int]) -> None:
        super().add(sample, size, pixels)
        self.file.write(sample.name.removesuffix(self.suffix) + '\n')
