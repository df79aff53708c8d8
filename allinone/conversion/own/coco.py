"""COCO: annotation files of Roboflow, CVAT, Label Studio and others.

A file has ``images`` (``id``, ``file_name``, ``width``, ``height``), ``annotations`` (``image_id``,
``category_id``, ``bbox`` as ``[x, y, width, height]``, ``segmentation``, ``iscrowd``) and
``categories`` (https://cocodataset.org/#format-data). Roboflow writes
``{train,valid,test}/_annotations.coco.json`` beside the images, and in older exports a category 0
that is the supercategory of the others and has no boxes (roboflow/roboflow-100-benchmark, issue
45). CVAT writes ``annotations/instances_SUBSET.json`` and ``images``
(https://docs.cvat.ai/docs/manual/advanced/formats/format-coco/); Label Studio ``result.json`` with
paths of its server, and ``images``. Splits are words in the name of the file, or its folders.
Classes are the categories of the training file, in their order; others are found by name. Paths of
images of another machine are found by the file's name. The layout of COCO 2017 as published is read
by ``allinone.conversion.sets.coco``.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from allinone.conversion.data_set import Box, Sample
from allinone.conversion.files import json_elements
from allinone.conversion.formats import CocoBoxes
from allinone.conversion.polygons import enclosing_box
from allinone.errors import DataError

from .class_file import check_names, read_names
from .files import ImageIndex, listed
from .found import UNSPLIT, Found, Options
from .splits import split_named, split_of

__all__ = ['TITLE', 'WANTED', 'read']

TITLE = 'COCO'
WANTED = 'annotation files of COCO and their images'
INSTANCES = 'instances'  # in the name of a file, beside those of captions and key points
IMAGE_FOLDERS = ('images', 'img')


class _File(NamedTuple):
    images: dict
    boxes: dict[object, list[dict]]
    categories: dict[object, dict]


def read(source: Path, options: Options) -> Found:
    """Read a folder with one annotation file for each split, or with one for all."""
    files = listed(source)
    index = ImageIndex(files)
    paths = _annotation_files(source, files)
    contents = {split: _load(source, path) for split, path in paths.items()}
    main = contents.get('train') or next(iter(contents.values()))
    dummy = _dummy(main)
    if options.classes:
        classes = read_names(options.classes)
    else:
        kept = [item for key, item in main.categories.items() if key != dummy]
        classes = tuple(str(item.get('name') or '').strip() for item in kept)
        check_names(classes, source / paths.get('train', next(iter(paths.values()))))
    splits = {}
    for split, path in paths.items():
        splits[split] = _samples(path, contents[split], classes, split, index)
    notes = []
    if dummy is not None:
        name = main.categories[dummy]['name']
        notes.append(('category without boxes', f'{name}, the supercategory'))
    return Found(classes, splits, CocoBoxes(), 'det', notes=tuple(notes))


def _annotation_files(source: Path, files: Sequence[str]) -> dict[str, str]:
    """The annotation file of each split."""
    found: dict[str, list[str]] = defaultdict(list)
    broken = ''
    for path in files:
        if not path.endswith('.json'):
            continue
        try:
            first = next(iter(json_elements(source / path, 'images')), None)
            if isinstance(first, dict) and 'file_name' in first:
                found[_split(path)].append(path)
        except ValueError as error:
            broken = broken or f'{source / path}: {error}'
    if not found:
        raise DataError(
            f'{source} has no JSON file with images of COCO'
            + (f' ({broken}); export it again' if broken else f'; give the folder with {WANTED}')
        )
    for split, paths in found.items():
        if len(paths) > 1:
            named = [path for path in paths if INSTANCES in PurePosixPath(path).name]
            if len(named) != 1:
                raise DataError(
                    f'{source} has several annotation files for {split or "no split"}: '
                    f'{" and ".join(paths[:3])}; keep one, or name them like splits (train, val)'
                )
            found[split] = named
    return {split: paths[0] for split, paths in found.items()}


def _split(path: str) -> str:
    words = re.split(r'[^a-zA-Z0-9]+', PurePosixPath(path).stem)
    return next(filter(None, map(split_named, words)), UNSPLIT) or split_of(path)


def _load(source: Path, path: str) -> _File:
    try:
        images = {item['id']: item for item in json_elements(source / path, 'images')}
        categories = {item['id']: item for item in json_elements(source / path, 'categories')}
        boxes = defaultdict(list)
        for item in json_elements(source / path, 'annotations'):
            hash(item.get('category_id'))  # A list, say, is none.
            boxes[item['image_id']].append(item)
        if not all('file_name' in item for item in images.values()):
            raise ValueError('an image has no file_name')
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f'{source / path} is damaged or cut short ({type(error).__name__}: {error}); export it '
            'again'
        ) from error
    if not categories:
        raise DataError(f'{source / path} has no categories; export it again with them')
    strange = [key for key in boxes if key not in images]
    if strange:
        raise DataError(
            f'{source / path} has annotations of {len(strange)} images that it does not list, such '
            f'as image_id {strange[0]!r}; export it again'
        )
    return _File(images, boxes, categories)


def _dummy(content: _File) -> object | None:
    """Roboflow's first category, if it is only the supercategory of the others."""
    key, first = next(iter(content.categories.items()))
    others = [item for other, item in content.categories.items() if other != key]
    used = {box.get('category_id') for boxes in content.boxes.values() for box in boxes}
    above = bool(others) and all(item.get('supercategory') == first.get('name') for item in others)
    is_top = key == 0 and first.get('supercategory') == 'none'
    return key if is_top and above and key not in used else None


def _samples(
    path: str, content: _File, classes: tuple[str, ...], split: str, index: ImageIndex
) -> list[Sample]:
    own = PurePosixPath(path).parent
    near = [own, *(own / name for name in IMAGE_FOLDERS)]
    for top in dict.fromkeys([own.parent, PurePosixPath('.')]):
        near += [top, *(top / name for name in IMAGE_FOLDERS)]
        near += [top / name / split for name in ('', *IMAGE_FOLDERS)] if split else []
    folders = [*dict.fromkeys(map(str, near))]
    names = {key: str(item.get('name', '')).strip() for key, item in content.categories.items()}
    labels = {key: classes.index(name) for key, name in names.items() if name in classes}
    found = []
    for key, image in content.images.items():
        name = str(image['file_name'])
        place = index.named(name, folders, split)
        sample = Sample(place or name)
        if place is None:
            sample.fault = ('missing', name, f'{path} lists it')
        if image.get('width') and image.get('height'):
            try:
                sample.size = int(image['width']), int(image['height'])
            except (TypeError, ValueError):
                reason = f'image {name} has the size {image["width"]!r} x {image["height"]!r}'
                sample.fault = ('unreadable', path, reason)
        sample.boxes, sample.notes = [], []
        for item in content.boxes.get(key, ()):
            category = item.get('category_id')
            if category not in labels:
                what = names.get(category, category)
                sample.notes.append(('unknown label', f'{name}: category {what} in {path}'))
                continue
            try:
                sample.boxes.append(_box(item, labels[category]))
            except (TypeError, ValueError, IndexError) as error:
                reason = f'annotation {item.get("id")} of {name}: {error}'
                sample.fault = ('unreadable', path, reason)
        found.append(sample)
    return found


def _box(item: dict, label: int) -> Box:
    shape = item.get('segmentation')
    if isinstance(shape, list):
        shape = [[float(v) for v in part] for part in shape if len(part) >= 6] or None
    elif not (isinstance(shape, dict) and shape.get('counts')):
        shape = None
    corners = item.get('bbox')
    if not corners:
        if not isinstance(shape, list):
            raise ValueError('it has neither bbox nor polygons')
        corners = enclosing_box(shape, label)[:4]
    x, y, width, height = map(float, corners)
    crowd, ignore = bool(item.get('iscrowd')), bool(item.get('ignore'))
    area = float(item['area']) if item.get('area') and shape else None
    return Box(x, y, width, height, label, crowd, ignore, shape, area)
