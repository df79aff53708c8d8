"""Folders of images by class, torchvision's ``ImageFolder``.

``CLASS/.../NAME`` for all images, or ``train/CLASS/...``, ``val/CLASS/...`` and ``test/CLASS/...``
(https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html). Classes
are the names of the folders, sorted, as there; a class of a further split must be one of train's.
"""

from pathlib import Path

from allinone.conversion.data_set import Sample
from allinone.conversion.formats import ImageListDataset
from allinone.errors import DataError

from .class_file import read_names
from .files import is_image, listed
from .found import UNSPLIT, Found, Options
from .splits import split_named

__all__ = ['TITLE', 'WANTED', 'read']

TITLE = 'ImageFolder'
WANTED = 'a folder of images for each class'


def read(source: Path, options: Options) -> Found:
    """Read a folder of class folders, or of splits with class folders."""
    files = listed(source)
    images = [path.split('/') for path in files if is_image(path)]
    tops = {parts[0] for parts in images if len(parts) > 1}
    depth = 1 if tops and all(map(split_named, tops)) else 0
    if not depth:
        _check_no_split(source, images, tops)
    splits: dict[str, list[Sample]] = {}
    stray = []
    for parts in images:
        if len(parts) < depth + 2:
            stray.append('/'.join(parts))
            continue
        sample = Sample('/'.join(parts), name='/'.join(parts[depth:]))
        split = split_named(parts[0]) if depth else UNSPLIT
        splits.setdefault(split, []).append(sample)
    if not splits:
        raise DataError(
            f'{source} has no image in a folder; give the folder that has {WANTED}, or one for '
            'each of train, val and test with these'
        )
    names = {split: sorted({_class(s) for s in samples}) for split, samples in splits.items()}
    classes = _classes(source, names, options.classes)
    for samples in splits.values():
        for sample in samples:
            if _class(sample) in classes:
                sample.label = classes.index(_class(sample))
            else:
                sample.fault = ('unknown label', sample.image, f'train has no {_class(sample)}')
    notes = [('not in a class folder', path) for path in stray]
    notes += [('class folder without an image', path) for path in _empty(files, images, depth)]
    return Found(classes, splits, ImageListDataset(), 'cls', by_class=True, notes=tuple(notes))


def _empty(files: list[str], images: list[list[str]], depth: int) -> list[str]:
    """A file of each folder in the place of a class that has files, but no image."""
    found: dict[str, str] = {}
    for path in files:
        parts = path.split('/')
        if len(parts) >= depth + 2:
            found.setdefault('/'.join(parts[: depth + 1]), path)
    for parts in images:
        found.pop('/'.join(parts[: depth + 1]), None)
    return [*found.values()]


def _check_no_split(source: Path, images: list[list[str]], tops: set[str]) -> None:
    """Refuse folders of splits, which have further folders, beside others.

    A class may be called train: its images are in its folder.
    """
    for name in sorted(tops):
        depths = {len(parts) for parts in images if parts[0] == name}
        if split_named(name) and min(depths) > 2:
            others = sorted(other for other in tops if not split_named(other))
            raise DataError(
                f'{source} has {name} with folders of classes, beside {", ".join(others[:3])}; '
                'move what is no split elsewhere'
            )


def _class(sample: Sample) -> str:
    return sample.name.split('/')[0]


def _classes(source: Path, names: dict[str, list[str]], given: Path | None) -> tuple[str, ...]:
    if given:
        return read_names(given)
    found = tuple(names.get('train') or names.get(UNSPLIT) or next(iter(names.values())))
    if len(found) < 2:
        raise DataError(
            f'{source} has the single class {found[0]!r}; give the folder above those of the '
            'classes'
        )
    return found
