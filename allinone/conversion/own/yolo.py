"""YOLO: a text file an image with a line an object, as Ultralytics, Darknet and others write it.

``data.yaml`` has ``path`` (the root), ``train``, ``val`` and ``test`` (a folder, a text file of
images, or a list of these, relative to ``path``), ``names`` (a list, or a dictionary by index) and
``nc``. The label file of an image is found by replacing the last folder ``images`` of its path by
``labels`` and its suffix by ``.txt``; without such a folder it lies beside the image. An image
without a label file, or with an empty one, has no objects. A line is ``class cx cy width height``
or, with a polygon, ``class x1 y1 x2 y2 x3 y3 ...``, in fractions of the image's size as it is shown
(https://docs.ultralytics.com/datasets/detect/, https://docs.ultralytics.com/datasets/segment/;
``check_det_dataset`` and ``img2label_paths`` of ultralytics; Roboflow writes ``../train/images``
for a folder beside the file, which the former accepts). With ``kpt_shape``, key points follow the
box (https://docs.ultralytics.com/datasets/pose/). An oriented box is a polygon of four corners.

Without ``data.yaml`` the classes are in ``classes.txt`` (labelImg, Label Studio) or ``obj.names``
(Darknet, CVAT's YOLO 1.1). Splits are folders named like them, or lists of images such as
``train.txt`` and ``valid.txt``, which ``obj.data`` may name
(https://docs.cvat.ai/docs/manual/advanced/formats/format-yolo/).
"""

import math
import os
from collections import defaultdict
from pathlib import Path

import yaml

from allinone.conversion.data_set import Box, Sample
from allinone.conversion.formats import CocoBoxes
from allinone.conversion.polygons import enclosing_box
from allinone.errors import DataError

from .class_file import check_names, read_names
from .files import is_image, lines_of, listed
from .found import UNSPLIT, Found, Options
from .splits import split_named, split_of

__all__ = ['TITLE', 'WANTED', 'read']

TITLE = 'YOLO'
NAMES = ('classes.txt', 'obj.names')
WANTED = f'data.yaml, or {" or ".join(NAMES)}'
SPLITS = ('train', 'val', 'test')
BOX, TRIANGLE = 4, 6  # Numbers of a line
ROUNDING = 1e-2  # How far coordinates may reach out, as Ultralytics allows


def read(source: Path, options: Options) -> Found:
    """Read a folder with ``data.yaml``, or with a file of class names."""
    files = listed(source)
    notes: list[tuple[str, str]] = []
    lists = _Lists(source, files)
    described = _described(source)
    if described is not None:
        path, content = described
        if options.classes:
            raise DataError(f'{path} names the classes; change them there, and leave out --classes')
        classes = _names(path, content)
        images = _images(source, path, content, lists, notes)
        key_points = content.get('kpt_shape') is not None
    else:
        classes = _named(source, options.classes)
        images, key_points = defaultdict(list), False
        for image in filter(is_image, files):
            images[split_of(image)].append(image)
        if not images:
            raise DataError(f'{source} has no image; give the folder with images and labels')
        if UNSPLIT in images:
            images = _listed_splits(source, images, lists, notes)
    labels = _LabelFiles(source, set(files), classes, key_points, lists.faults)
    labels.check(images)
    splits = {name: [labels.sample(image) for image in some] for name, some in images.items()}
    return Found(classes, splits, CocoBoxes(), 'det', notes=tuple(notes))


def _described(source: Path) -> tuple[Path, dict] | None:
    """The file that describes the data set: one of YAML with ``names``, and its content."""
    found = []
    for path in sorted([*source.glob('*.yaml'), *source.glob('*.yml')]):
        try:
            content = yaml.safe_load(path.read_text(encoding='utf-8-sig'))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = str(error).split('\n')[0]
            raise DataError(f'{path} is no YAML ({reason}); repair it') from error
        if isinstance(content, dict) and ('names' in content or 'nc' in content):
            found.append((path, content))
    named = [item for item in found if item[0].stem == 'data']
    if len(found) > 1 and len(named) != 1:
        names = ' and '.join(path.name for path, _ in found)
        raise DataError(f'{source} has {names}; keep the one of the data set, named data.yaml')
    return (named or found)[0] if found else None


def _names(path: Path, content: dict) -> tuple[str, ...]:
    names, number = content.get('names'), content.get('nc')
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise DataError(
                f'{path}: names has the numbers {sorted(names, key=str)}; number the classes from '
                '0 without gaps'
            )
        names = [names[key] for key in range(len(names))]
    if names is None and isinstance(number, int):
        names = list(range(number))
    if not isinstance(names, list) or not names:
        raise DataError(f'{path}: names is {names!r}; give a list of the names of the classes')
    if number is not None and number != len(names):
        raise DataError(
            f'{path}: nc is {number}, names has {len(names)}; make them equal, or leave out nc'
        )
    found = tuple(map(str, names))
    check_names(found, path)
    return found


def _named(source: Path, given: Path | None) -> tuple[str, ...]:
    places = [given] if given else [source / name for name in NAMES]
    places += sorted(source.glob('*.names')) + sorted(source.glob('*/classes.txt'))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(
            f'{source} has no {WANTED}; give the folder that has one, or --classes FILE with the '
            'name of a class a line'
        )
    return read_names(path)


def _listed_splits(
    source: Path, images: dict[str, list[str]], lists: '_Lists', notes: list[tuple[str, str]]
) -> dict[str, list[str]]:
    """Images of each split as Darknet's lists say it; those of the folders without such lists."""
    known = {image for some in images.values() for image in some}
    labels = set(map(label_file, known))
    places = [path for path in lists.files if '/' not in path and path.endswith('.txt')]
    named = _darknet(source, lists.files) or [(path.removesuffix('.txt'), path) for path in places]
    found: dict[str, list[str]] = {}
    for name, path in named:
        split = split_named(name)
        if split == UNSPLIT or path in labels:
            continue
        some = lists.images(path, '')
        if known & set(some):  # Else it is another text.
            found[split] = [*dict.fromkeys([*found.get(split, []), *some])]
    if not found:
        return images
    rest = known - {image for some in found.values() for image in some}
    notes += [('in no list of a split', image) for image in sorted(rest)]
    return found


def _darknet(source: Path, files: list[str]) -> list[tuple[str, str]]:
    """Names and lists of the splits in ``obj.data``, whose lines are ``NAME = PATH``."""
    found = []
    for path in (path for path in files if path.endswith('.data')):
        try:
            lines = lines_of(source / path)
        except DataError:
            continue  # Others have files of this ending, too.
        for line in lines:
            key, equals, name = (part.strip() for part in line.partition('='))
            place = _place(source, '', name.removeprefix('data/')) if equals and name else None
            if place in files and str(place).endswith('.txt'):
                found.append((key, str(place)))
    return found


def _images(
    source: Path, path: Path, content: dict, lists: '_Lists', notes: list[tuple[str, str]]
) -> dict[str, list[str]]:
    """Images of each split, relative to the source."""
    files = lists.files
    by_folder = defaultdict(list)
    for image in filter(is_image, files):
        by_folder[''].append(image)
        for end in (n for n, char in enumerate(image) if char == '/'):
            by_folder[image[:end]].append(image)
    given = content.get('path')
    base = '' if given is None else _inside(source, source, str(given))
    found = {}
    for split in SPLITS:
        value = content.get(split, content.get('valid') if split == 'val' else None)
        if not value:
            continue
        images: list[str] = []
        for place in value if isinstance(value, list) else [value]:
            target = _place(source, base or '', str(place))
            has = target is not None and (target.endswith('.txt') or target in by_folder)
            if split == 'test' and not has:  # Exports name it whether they have one or not.
                notes.append(('split without its images', f'{path.name}: test is {place!r}'))
            elif target is None:
                raise DataError(
                    f'{path}: {split} is {place!r}, which {source} does not have; correct it, or '
                    'give the folder that has it'
                )
            elif target.endswith('.txt'):
                images += lists.images(target, base or '')
            elif target not in by_folder:
                raise DataError(f'{path}: {split} is {place!r}, which has no image; correct it')
            else:
                images += by_folder[target]
        if images or split != 'test':
            found[split] = list(dict.fromkeys(images))
    if not found:
        raise DataError(f'{path} has neither train nor val; name the folders of the images there')
    return found


def _inside(source: Path, folder: Path, name: str) -> str | None:
    """A file or folder relative to the source; None if it does not lie in there."""
    path = Path(os.path.normpath(folder / name))
    if path.exists():
        for root in map(Path, (os.path.normpath(source), os.path.realpath(source))):
            if path.is_relative_to(root):
                found = path.relative_to(root).as_posix()
                return '' if found == '.' else found
    return None


def _place(source: Path, base: str, name: str) -> str | None:
    """Where an entry of a split lies: below ``path``, or beside the file."""
    for folder in dict.fromkeys([source / base, source]):
        for form in (name, name.removeprefix('../')):
            found = _inside(source, folder, form)
            if found is not None:
                return found
    return None


class _Lists:
    """Text files of images.

    Args:
        source: The source.
        files: All its files.

    Attributes:
        faults: Of listed images that the source does not have, by image.
    """

    def __init__(self, source: Path, files: list[str]):
        self.source, self.files, self.known = source, files, set(files)
        self.faults: dict[str, tuple[str, str, str]] = {}

    def images(self, listing: str, base: str) -> list[str]:
        """Images that a list names, relative to the source."""
        found = []
        own = os.path.dirname(listing)
        for number, line in enumerate(lines_of(self.source / listing), 1):
            if not line:
                continue
            # Darknet's lists are relative to its own folder, which has the data in `data/`.
            forms = [(own, line), (base, line), ('', line), ('', line.removeprefix('data/'))]
            places = [_inside(self.source, self.source / folder, form) for folder, form in forms]
            image = next((place for place in places if place in self.known), None)
            image = image or next(filter(None, places), None)
            if image is None:
                image = os.path.normpath(os.path.join(base, line))
                outside = any((self.source / folder / form).is_file() for folder, form in forms)
                kind = 'outside of the source' if outside else 'missing'
                self.faults[image] = (kind, line, f'line {number} of {listing}')
            found.append(image)
        return found


class _LabelFiles:
    """Label files of a source.

    Args:
        source: Its folder.
        files: All its files.
        classes: Names of the classes.
        key_points: Whether lines have key points after their box.
        faults: Of images that cannot be used.
    """

    def __init__(
        self,
        source: Path,
        files: set[str],
        classes: tuple[str, ...],
        key_points: bool,
        faults: dict[str, tuple[str, str, str]],
    ):
        self.source, self.files, self.faults = source, files, faults
        self.classes, self.key_points = classes, key_points
        self.owners: dict[str, list[str]] = defaultdict(list)

    def check(self, images: dict[str, list[str]]) -> None:
        """Count the images of each label file, and refuse a source without any label file."""
        for image in {image for some in images.values() for image in some}:
            self.owners[label_file(image)].append(image)
        if not any(path in self.files for path in self.owners):
            example = next(iter(self.owners))
            raise DataError(
                f'{self.source} has no label file for any of its images, such as {example}; give '
                'the folder that has images and labels'
            )

    def sample(self, image: str) -> Sample:
        path = label_file(image)
        sample = Sample(image, relative=True)
        if image in self.faults:
            sample.fault = self.faults[image]
            return sample
        others = sorted(self.owners[path])
        if path in self.files and len(others) > 1:
            sample.fault = ('label file of several images', image, f'{path} is of {others}')
        elif path in self.files:
            sample.boxes, sample.notes = [], []
            try:
                self._read(path, sample.boxes, sample.notes)
            except (ValueError, OSError) as error:
                sample.fault = ('unreadable', path, str(error))
        return sample

    def _read(self, path: str, boxes: list[Box], notes: list[tuple[str, str]]) -> None:
        text = (self.source / path).read_text(encoding='utf-8-sig')
        seen: set[str] = set()  # Ultralytics leaves out lines that are written twice, too.
        for number, line in enumerate(text.split('\n'), 1):
            line = line.strip()
            if not line:
                continue
            if line in seen:
                notes.append(('line written twice', f'{path}, line {number}'))
                continue
            seen.add(line)
            label, values = self._numbers(line, number)
            if not 0 <= label < len(self.classes):
                what = f'{path}, class {label} of {len(self.classes)}'
                notes.append(('unknown label', what))
                continue
            if self.key_points and len(values) > BOX:
                notes.append(('keypoints', path))
                values = values[:BOX]
            if len(values) == BOX:
                x, y, width, height = values
                boxes.append(Box(x - width / 2, y - height / 2, width, height, label))
            else:
                boxes.append(enclosing_box([values], label))

    def _numbers(self, line: str, number: int) -> tuple[int, list[float]]:
        fields = line.split()
        try:
            label, values = float(fields[0]), [float(field) for field in fields[1:]]
        except ValueError:
            raise ValueError(f'line {number} has {line!r}, which are no numbers') from None
        if not label.is_integer():
            raise ValueError(f'line {number} has the class {fields[0]}, no whole number')
        polygon = len(values) >= TRIANGLE and len(values) % 2 == 0
        if len(values) != BOX and not polygon and not (self.key_points and len(values) > BOX):
            raise ValueError(
                f'line {number} has {len(fields)} numbers, not 5 of a box or an odd number of 7 or '
                'more of a polygon'
            )
        limited = values[:BOX] if self.key_points else values
        wrong = [v for v in limited if not math.isfinite(v) or not -ROUNDING <= v <= 1 + ROUNDING]
        if wrong:
            raise ValueError(
                f'line {number} has {wrong[0]:g}, no fraction of the size of the image'
            )
        return int(label), values


def label_file(image: str) -> str:
    """Path of the label file of an image."""
    folders = os.path.splitext(image)[0].split('/')
    for number in range(len(folders) - 2, -1, -1):
        if folders[number] == 'images':
            folders[number] = 'labels'
            break
    return '/'.join(folders) + '.txt'
