"""Files of a source folder: listing, and images that belong to a label file."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from allinone.conversion.data_set import Sample
from allinone.conversion.source import REPORT
from allinone.errors import DataError

from .splits import split_of

__all__ = [
    'IMAGES',
    'SEGMENTATION',
    'ImageIndex',
    'check_folder',
    'is_image',
    'lines_of',
    'listed',
    'shorten',
]

IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.jfif')
# VOC's label maps, which are no images, and of which the second has instances
SEGMENTATION = ('SegmentationClass', 'SegmentationObject')
ARCHIVERS = ('__MACOSX',)  # Folders that archives of macOS add, with files named like images


def check_folder(source: Path, wanted: str) -> None:
    """Reject a source that is no folder, or that is a converted set.

    Args:
        source: The folder.
        wanted: What it must have, for errors.

    Raises:
        DataError: Saying what to give instead.
    """
    if not source.is_dir():
        raise DataError(f'{source} is not a folder; give the one with {wanted}')
    if (source / REPORT).is_file():
        raise DataError(
            f'{source} is converted already ({REPORT} is in it); give the folder with {wanted} '
            'that it was made of, or train on it as it is'
        )


def listed(source: Path) -> list[str]:
    """Paths of all files of a folder, relative to it, sorted; without hidden ones.

    Raises:
        DataError: For a name that no list and no JSON file can hold, or a link without end.
    """
    found = []
    for place, folders, names in os.walk(source, followlinks=True):
        folders[:] = [name for name in folders if name[0] != '.' and name not in ARCHIVERS]
        for name in folders:
            _check_link(source, Path(place, name))
        inside = os.path.relpath(place, source)
        prefix = '' if inside == os.curdir else f'{inside}/'
        found += [prefix + name for name in names if name[0] != '.']
    for path in found:
        if '\n' in path or any('\ud800' <= char <= '\udfff' for char in path):
            raise DataError(
                f'{source}: the name {path!r} is no UTF-8 text or has a line break, so no list of '
                'images can hold it; rename it'
            )
    return sorted(found)


def _check_link(source: Path, path: Path) -> None:
    """Refuse a link to a folder around it, also by way of other links."""
    if path.is_symlink():
        target = path.resolve()
        around = [source, *(folder for folder in path.parents if folder.is_relative_to(source))]
        if any(folder.resolve().is_relative_to(target) for folder in around):
            raise DataError(f'{path} is a link to a folder that it lies in; remove the link')


def lines_of(path: Path) -> list[str]:
    """The lines of a list, stripped; empty ones, too, so that their numbers are those of the file.

    Raises:
        DataError: If it is no UTF-8 text.
    """
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise DataError(
            f'{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8'
        ) from error
    return [line.strip() for line in text.split('\n')]


def is_image(path: str) -> bool:
    return path.lower().endswith(IMAGES)


def shorten(samples: Iterable[Sample]) -> list[Sample]:
    """Name samples by their paths below the folder that all of them are in.

    Those with a fault, whose path may be of another machine, keep theirs.
    """
    samples = list(samples)
    for sample in samples:
        sample.name = sample.image if sample.fault else sample.name
    sound = [sample for sample in samples if not sample.fault]
    paths = [
        os.path.join(os.path.dirname(sample.image), sample.name)
        if sample.embedded
        else sample.image
        for sample in sound
    ]
    folders = {os.path.dirname(path) for path in paths}
    common = os.path.commonpath(folders) if folders else ''
    for sample, path in zip(sound, paths):
        sample.name = os.path.relpath(path, common) if common else path
    return samples


class ImageIndex:
    """Images of a source by their stems, for label files that lie in other folders.

    Args:
        files: As :func:`listed` returns them.
        folders: Names of the folders that images are in where label files are in ``labels``.
        labels: Names of folders of label files, in lower case.
    """

    def __init__(
        self,
        files: Iterable[str],
        folders: tuple[str, ...] = (),
        labels: tuple[str, ...] = (),
    ):
        self.folders, self.labels = folders, labels
        self.paths = [path for path in files if is_image(path)]
        self.known = set(self.paths)
        self.by_stem: dict[str, list[str]] = defaultdict(list)
        self.by_name: dict[str, list[str]] = defaultdict(list)
        self.by_base: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            self.by_base[PurePosixPath(path).name].append(path)
            self.by_stem[os.path.splitext(path)[0]].append(path)
            self.by_name[PurePosixPath(path).stem].append(path)

    def of(self, label_file: str, named: str = '') -> list[str]:
        """Images that a label file may be of: one, none, or several of one stem.

        Args:
            label_file: Its path.
            named: Name of the image that it contains, which decides between several.
        """
        stem = os.path.splitext(label_file)[0]
        found = [path for place in self._places(stem) for path in self.by_stem.get(place, ())]
        if not found and named:
            place = os.path.normpath(os.path.join(os.path.dirname(label_file), named))
            found = [place] if place in self.known else []
        if not found:
            found = self.by_name.get(PurePosixPath(stem).name, [])
        if not found and named:
            found = self.by_name.get(PurePosixPath(named).stem, [])
        same = [path for path in found if PurePosixPath(path).name == PurePosixPath(named).name]
        return same if len(same) == 1 else found

    def named(self, name: str, folders: Iterable[str], split: str = '') -> str | None:
        """The image of a name that an annotation file has; None if there is none, or several.

        Args:
            name: A path, also of another machine.
            folders: Where to search first.
            split: The file's, which decides between several.
        """
        name = name.replace('\\', '/')
        for folder in folders:
            place = os.path.normpath(os.path.join(folder, name))
            if place in self.known:
                return place
        base = PurePosixPath(name).name
        found = self.by_base[base] if base in self.by_base else []
        same = [path for path in found if f'/{path}'.endswith(f'/{name}')] or found
        if split and len(same) > 1:
            same = [path for path in same if split_of(path) == split]
        return same[0] if len(same) == 1 else None

    def _places(self, stem: str) -> list[str]:
        """Paths without suffix at which the image may lie, the likeliest first."""
        parts = stem.split('/')
        for number in range(len(parts) - 2, -1, -1):
            if parts[number].lower() in self.labels:
                others = [
                    '/'.join(parts[:number] + [to] + parts[number + 1 :]) for to in self.folders
                ]
                beside = '/'.join(parts[:number] + parts[number + 1 :])
                return [stem, *others, beside]
        return [stem]
