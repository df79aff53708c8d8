"""VOC: an XML file an image, as PASCAL VOC, labelImg, CVAT and Roboflow write it.

``annotation`` has ``filename``, ``size`` (``width``, ``height``) and an ``object`` per instance
with ``name``, ``difficult`` and ``bndbox`` (``xmin``, ``ymin``, ``xmax``, ``ymax`` in pixels from
1, the last one included: the development kit's documentation,
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html). labelImg writes 1 for
smaller coordinates (``libs/labelFile.py``). XML files lie beside the images, or in ``Annotations``
with the images in ``JPEGImages``; ``ImageSets/Main/SPLIT.txt`` lists names without suffix. Splits
may be folders, too. An image without an XML file is one that nobody labelled. Objects that are
``difficult`` become COCO's ``ignore``. Without a file of classes, these are the names in the files,
sorted.
"""

from pathlib import Path
from xml.etree import ElementTree

from allinone.conversion.data_set import Box, Sample
from allinone.conversion.formats import CocoBoxes
from allinone.errors import DataError

from .class_file import read_names
from .files import SEGMENTATION, ImageIndex, listed
from .found import UNSPLIT, Found, Options
from .lists import SplitLists
from .splits import split_of
from .xml_files import parse

__all__ = ['TITLE', 'WANTED', 'read']

TITLE = 'VOC'
WANTED = 'XML files beside the images, or in Annotations'
LISTS = 'ImageSets/Main'
FOLDERS = ('JPEGImages', 'images', 'Images', 'imgs', 'image')
LABELS = ('annotations', 'annotation', 'xml', 'xmls', 'labels')

Objects = list[tuple[str, tuple[float, float, float, float], bool]]


def read(source: Path, options: Options) -> Found:
    """Read a folder of images and XML files."""
    files = listed(source)
    others = [path for path in files if not set(SEGMENTATION) & set(path.split('/'))]
    index = ImageIndex(others, FOLDERS, LABELS)
    paths = [path for path in files if path.lower().endswith('.xml')]
    lists = SplitLists(source, files, LISTS, paths)
    samples: dict[str, Sample] = {}
    objects: dict[str, Objects] = {}
    owned: set[str] = set()
    foreign = 0
    for path in paths:
        try:
            root = parse(source / path)
            if root.tag != 'annotation':
                foreign += 1
                continue
            named = (root.findtext('filename') or '').strip()
            found = index.of(path, named)
            sample = Sample(found[0] if found else named or path, size=_size(root))
            objects[path] = _objects(root)
        except ValueError as error:
            found = index.of(path)
            sample = Sample(found[0] if found else path, fault=('unreadable', path, str(error)))
        if len(found) > 1:
            sample.fault = ('label file of several images', found[0], f'{path} is of {found}')
        elif not found and not sample.fault:
            sample.fault = ('missing', sample.image, f'{path} has its labels')
        samples[path] = sample
        owned.update(found)
    if not samples:
        other = ', but their first element is not annotation' if foreign else ''
        raise DataError(
            f'{source} has no XML file of VOC{other}; give the folder that has {WANTED}'
        )
    damaged = [sample.fault for sample in samples.values() if sample.fault]
    if not options.classes and not any(objects.values()) and damaged:
        _, path, reason = damaged[0]
        raise DataError(
            f'{source} has no XML file with objects that can be used, such as {path} ({reason}); '
            'repair them'
        )
    classes = _classes(options.classes, objects)
    for path, some in objects.items():
        samples[path].boxes, samples[path].notes = _boxes(path, some, classes)
    splits: dict[str, list[Sample]] = {}
    for path, sample in samples.items():
        split = lists.split_of(path) or lists.split_of(sample.image) if lists else split_of(path)
        splits.setdefault(split, []).append(sample)
    notes = [('without a label file', p) for p in index.paths if p not in owned]
    if lists and len(splits) > 1:
        unlisted = splits.pop(UNSPLIT, [])
        notes += [('in no list of a split', sample.image) for sample in unlisted]
    return Found(classes, splits, CocoBoxes(), 'det', notes=tuple(notes))


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """The image's size; None where a tool did not know it and wrote 0 or nothing."""
    width, height = (root.findtext(f'size/{side}') or '0' for side in ('width', 'height'))
    size = int(float(width)), int(float(height))
    return size if all(size) else None


def _objects(root: ElementTree.Element) -> Objects:
    found = []
    for thing in root.iterfind('object'):
        name = (thing.findtext('name') or '').strip()
        if not name:
            raise ValueError('it has an object without a name')
        left, top, right, bottom = (
            _corner(thing, corner) for corner in ('xmin', 'ymin', 'xmax', 'ymax')
        )
        box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
        difficult = (thing.findtext('difficult') or '0').strip().lower() in ('1', 'true')
        found.append((name, box, difficult))
    return found


def _corner(thing: ElementTree.Element, corner: str) -> float:
    text = thing.findtext(f'bndbox/{corner}')
    if text is None:
        raise ValueError(f'an object {thing.findtext("name")!r} has no bndbox/{corner}')
    return float(text)


def _classes(given: Path | None, objects: dict[str, Objects]) -> tuple[str, ...]:
    if given:
        return read_names(given)
    found = sorted({name for some in objects.values() for name, _, _ in some})
    if not found:
        raise DataError('the XML files have no object; give files with some, or --classes FILE')
    return tuple(found)


def _boxes(path: str, objects: Objects, classes: tuple[str, ...]):
    boxes, notes = [], []
    for name, box, difficult in objects:
        if name in classes:
            boxes.append(Box(*box, classes.index(name), ignore=difficult))
        else:
            notes.append(('unknown label', f'{path}: {name}'))
    return boxes, notes
