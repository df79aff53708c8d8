"""CVAT for images 1.1: one XML file for many images.

``annotations`` has ``meta`` with the ``labels`` of the task or project, and ``image`` with
``name``, ``width``, ``height``, in exports of projects ``subset``, and shapes with a ``label``:
``box`` (``xtl``, ``ytl``, ``xbr``, ``ybr``, ``rotation``), ``polygon`` (``points`` as ``x,y;x,y``),
``ellipse`` (``cx``, ``cy``, ``rx``, ``ry``), ``mask`` (``left``, ``top``, ``width``, ``height``,
``rle``), ``polyline``, ``points``, ``cuboid`` and ``skeleton``
(https://docs.cvat.ai/docs/manual/advanced/xml_format/). Images lie in ``images``, with several
subsets in ``images/SUBSET``. Polylines, points, cuboids, skeletons and tags have no area; they are
counted and left out, as are attributes. Masks keep their box. "CVAT for video" has tracks instead
of images. Splits are subsets, or tasks, files or folders that are named like splits. Classes are
the labels of ``meta``, in their order.
"""

import math
from collections import defaultdict
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from allinone.conversion.data_set import Box, Sample
from allinone.conversion.formats import CocoBoxes
from allinone.conversion.polygons import circle, enclosing_box, rotated
from allinone.errors import DataError

from .class_file import check_names, read_names
from .files import ImageIndex, listed
from .found import UNSPLIT, Found, Options
from .splits import split_named, split_of
from .xml_files import parse, root_tag

__all__ = ['TITLE', 'WANTED', 'read']

TITLE = 'CVAT for images 1.1'
WANTED = 'annotations.xml and images'
SHAPES = ('box', 'polygon', 'ellipse', 'mask')
DEFAULT = 'default'  # The subset of what has none


def read(source: Path, options: Options) -> Found:
    """Read a folder of one export, or of several."""
    files = listed(source)
    index = ImageIndex(files)
    roots = {path: _root(source, path) for path in files if _is_cvat(source, path)}
    if not roots:
        raise DataError(
            f'{source} has no XML file of CVAT, whose first element is annotations; give the '
            f'folder that has {WANTED}'
        )
    classes = _classes(source, options.classes, roots)
    splits: dict[str, list[Sample]] = defaultdict(list)
    for path, root in roots.items():
        tasks = _task_splits(root)
        around = split_of(path) or split_named(PurePosixPath(path).stem)
        for image in root.iterfind('image'):
            subset = image.get('subset') or ''
            split = (
                split_named(subset) or tasks.get(image.get('task_id'), '') or tasks.get(None, '')
            )
            try:
                sample = _sample(path, image, subset, index)
                sample.boxes, sample.notes = _objects(image, classes, path)
            except (KeyError, ValueError) as error:
                reason = f'{image.get("name")}: {type(error).__name__}: {error}'
                sample = Sample(image.get('name') or path, fault=('unreadable', path, reason))
            splits[split or around or UNSPLIT].append(sample)
    return Found(classes, splits, CocoBoxes(), 'det')


def _is_cvat(source: Path, path: str) -> bool:
    return path.lower().endswith('.xml') and root_tag(source / path) == 'annotations'


def _root(source: Path, path: str) -> ElementTree.Element:
    try:
        root = parse(source / path)
    except ValueError as error:
        raise DataError(
            f'{source / path} is damaged or cut short ({error}); export it again'
        ) from error
    if root.find('track') is not None:
        raise DataError(
            f'{source / path} is "CVAT for video", with tracks; export the task as "CVAT for '
            'images 1.1"'
        )
    if root.find('image') is None:
        raise DataError(f'{source / path} has no image; export a task or project with images')
    return root


def _classes(
    source: Path, given: Path | None, roots: dict[str, ElementTree.Element]
) -> tuple[str, ...]:
    if given:
        return read_names(given)
    found: dict[str, None] = {}
    for root in roots.values():
        for label in root.iterfind('meta//labels/label'):
            if not label.findtext('parent'):  # else a point of a skeleton
                found.setdefault((label.findtext('name') or '').strip())
    if not found:  # Exports of tools without `meta`
        shapes = (s for root in roots.values() for image in root.iterfind('image') for s in image)
        found = dict.fromkeys(sorted({s.get('label') or '' for s in shapes if s.tag in SHAPES}))
    if not found:
        raise DataError(f'{source} has no label; export a task with labels')
    names = tuple(found)
    check_names(names, source / next(iter(roots)))
    return names


def _task_splits(root: ElementTree.Element) -> dict[str | None, str]:
    """Split of each task by its number; of the only one under None."""
    tasks = [*root.iterfind('meta/task'), *root.iterfind('meta/project/tasks/task')]
    found: dict[str | None, str] = {}
    for task in tasks:
        split = split_named(task.findtext('subset') or '') or split_named(
            task.findtext('name') or ''
        )
        found[task.findtext('id')] = split
    if len(tasks) == 1:
        found[None] = next(iter(found.values()))
    return found


def _sample(path: str, image: ElementTree.Element, subset: str, index: ImageIndex) -> Sample:
    name, own = image.attrib['name'], PurePosixPath(path).parent
    folders = [own / 'images' / subset, own / 'images', own / 'images' / DEFAULT, own / subset, own]
    found = index.named(name, map(str, folders))
    sample = Sample(found or str(own / 'images' / name))
    if found is None:
        sample.fault = ('missing', sample.image, f'{path} has its labels')
    if image.get('width') and image.get('height'):
        sample.size = int(image.attrib['width']), int(image.attrib['height'])
    return sample


def _objects(image: ElementTree.Element, classes: tuple[str, ...], path: str):
    boxes, notes = [], []
    for shape in image:
        label, where = shape.get('label') or '', f'{image.get("name")}: {shape.get("label")}'
        for attribute in shape.iterfind('attribute'):
            notes.append(('attribute', f'{where}.{attribute.get("name")}'))
        if shape.tag not in SHAPES:
            notes.append(('shape without an area', f'{where}, {shape.tag}'))
        elif label not in classes:
            notes.append(('unknown label', f'{where} in {path}'))
        else:
            boxes.append(_box(shape, classes.index(label)))
            if shape.tag == 'mask':
                notes.append(('mask of pixels', where))
            elif shape.tag == 'box' and _turn(shape):
                notes.append(('rotated box', where))
    return boxes, notes


def _turn(shape: ElementTree.Element) -> float:
    return float(shape.get('rotation') or 0)


def _box(shape: ElementTree.Element, label: int) -> Box:
    def numbers(*names: str) -> list[float]:
        found = [float(shape.attrib[name]) for name in names]
        if not all(map(math.isfinite, found)):
            raise ValueError(f'{names} are {found}')
        return found

    if shape.tag == 'mask':
        x, y, width, height = numbers('left', 'top', 'width', 'height')
        return Box(x, y, width, height, label)
    if shape.tag == 'ellipse':
        return enclosing_box([circle(*numbers('cx', 'cy', 'rx', 'ry'))], label)
    if shape.tag == 'polygon':
        points = [float(v) for pair in shape.attrib['points'].split(';') for v in pair.split(',')]
        if len(points) < 6 or len(points) % 2:
            raise ValueError(f'a polygon has {len(points)} coordinates')
        return enclosing_box([points], label)
    left, top, right, bottom = numbers('xtl', 'ytl', 'xbr', 'ybr')
    if _turn(shape):
        return enclosing_box([rotated(left, top, right, bottom, _turn(shape))], label, masks=False)
    return Box(left, top, right - left, bottom - top, label)
