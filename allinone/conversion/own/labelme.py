"""LabelMe: a JSON file an image (https://github.com/wkentaro/labelme).

``shapes`` has ``label``, ``shape_type``, ``points`` in pixels and ``group_id``; ``imagePath`` names
the image, ``imageWidth`` and ``imageHeight`` are its size, and ``imageData`` may have its content
in base64 (``labelme/label_file.py``). A rectangle has two corners, or four; a circle its centre and
a point on it; a ``mask`` two corners and a PNG. Shapes of one label and ``group_id`` are parts of
one object (``examples/instance_segmentation/labelme2coco.py``). Points and lines have no area. As
in ``examples/semantic_segmentation/labelme2voc.py``, shapes named ``__ignore__`` are ignored, and
pixels without a shape are ``_background_``. The image in the JSON file is used where there is no
file of it. Without a file of classes, these are the labels in the files, sorted.
"""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageDraw

from allinone.conversion.data_set import Box, Sample
from allinone.conversion.formats import CocoBoxes
from allinone.conversion.label_maps import IGNORED, Values
from allinone.conversion.polygons import circle, enclosing_box
from allinone.errors import DataError

from .class_file import IGNORE, read_names
from .files import ImageIndex, listed
from .found import Found, Options
from .label_folders import map_format
from .splits import split_of

__all__ = ['TITLE', 'WANTED', 'read']

TITLE = 'LabelMe'
WANTED = 'JSON files beside the images'
BACKGROUND = '_background_'
FOLDERS = ('images', 'imgs', 'img', 'JPEGImages')
LABELS = ('labels', 'annotations', 'ann', 'json', 'jsons')
SHOWN = 40  # characters of a wrong value
FLAT = ('point', 'points', 'line', 'linestrip')


def read(source: Path, options: Options) -> Found:
    """Read a folder of images and JSON files; ``options.target`` says as what."""
    files = listed(source)
    index = ImageIndex(files, FOLDERS, LABELS)
    contents, samples, owned = {}, {}, set()
    for path in (path for path in files if path.lower().endswith('.json')):
        try:
            content = _content(source / path)
            if content is None:
                continue
            samples[path], found = _sample(path, content, index)
            contents[path] = content['shapes']
        except ValueError as error:
            found = index.of(path)
            sample = Sample(found[0] if found else path, fault=('unreadable', path, str(error)))
            samples[path] = sample
        owned.update(found)
    if not samples:
        raise DataError(
            f'{source} has no JSON file of LabelMe, with shapes and imagePath; give the folder '
            f'that has {WANTED}'
        )
    masks = options.target == 'masks'
    classes = _classes(source, options.classes, contents, masks)
    for path, shapes in contents.items():
        sample = samples[path]
        sample.boxes, sample.notes = _objects(path, shapes, classes)
        if masks:
            sample.boxes, sample.label_map = (), path
            sample.notes = [note for note in sample.notes if note[0] != 'mask of pixels']
    notes = tuple(('without a label file', path) for path in index.paths if path not in owned)
    splits: dict[str, list[Sample]] = {}
    for path, sample in samples.items():
        splits.setdefault(split_of(path), []).append(sample)
    if not masks:
        return Found(classes, splits, CocoBoxes(), 'det', notes=notes)
    format = map_format(splits, _ShapeMaps(classes))
    return Found(classes, splits, format, 'seg', notes=notes)


def _content(path: Path) -> dict | None:
    """Content of a file; None if it is another JSON file."""
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'it is no JSON: {error}') from error
    if not isinstance(content, dict) or 'shapes' not in content or 'imagePath' not in content:
        return None
    shapes = content['shapes']
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ValueError(f'shapes is {str(shapes)[:SHOWN]}, no list of shapes')
    for shape in shapes:
        try:
            shape['polygons'] = _polygons(shape)
            shape['label'] = str(shape['label'])
            if isinstance(shape.get('group_id'), (list, dict)):
                raise ValueError(f'group_id of a number, but {shape["group_id"]}')
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f'a shape has no {error}, or a wrong one') from error
    return content


def _sample(path: str, content: dict, index: ImageIndex) -> tuple[Sample, list[str]]:
    name = str(content['imagePath']).replace('\\', '/')
    found = index.of(path, name)
    width, height = content.get('imageWidth'), content.get('imageHeight')
    try:
        size = (int(width), int(height)) if width and height else None
    except (TypeError, ValueError) as error:
        raise ValueError(f'its image has the size {width!r} x {height!r}') from error
    sample = Sample(found[0] if found else path, size=size)
    if not found and content.get('imageData'):
        sample.embedded, sample.name = _embedded, PurePosixPath(name).name
    elif not found:
        sample.fault = ('missing', name, f'{path} has its labels')
    elif len(found) > 1:
        sample.fault = ('label file of several images', found[0], f'{path} is of {found}')
    return sample, found


def _embedded(path: str) -> bytes:
    with open(path, 'rb') as file:
        return base64.b64decode(json.load(file)['imageData'])


def _polygons(shape: dict) -> list[list[float]]:
    """Polygons of a shape; none for one without an area."""
    try:
        points = [(float(x), float(y)) for x, y in shape['points']]
    except (TypeError, ValueError) as error:
        wrong = str(shape['points'])[:SHOWN]
        raise ValueError(f'points that are pairs of numbers, but {wrong}') from error
    kind = shape.get('shape_type') or 'polygon'
    if kind in FLAT or (kind == 'polygon' and len(points) < 3):
        return []
    if kind == 'circle' and len(points) == 2:
        (x, y), (other_x, other_y) = points
        return [circle(x, y, float(np.hypot(other_x - x, other_y - y)))]
    if kind in ('rectangle', 'mask') and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind not in ('circle', 'mask', 'polygon', 'rectangle', 'rotation'):
        raise ValueError(f'known shape_type, but {kind!r}')
    elif len(points) < 3 or kind in ('circle', 'mask'):
        raise ValueError(f'corners of a {kind}, but {len(points)} points')
    return [[value for point in points for value in point]]


def _is_box(shape: dict) -> bool:
    return shape.get('shape_type') in ('rectangle', 'mask') and len(shape['points']) == 2


def _classes(source: Path, given: Path | None, contents: dict, masks: bool) -> tuple[str, ...]:
    if given:
        names = [name for name in read_names(given) if name != IGNORE]
    else:
        shapes = (shape for shapes in contents.values() for shape in shapes)
        names = sorted({shape['label'] for shape in shapes if shape['polygons']} - {IGNORE})
    if masks:
        names = [BACKGROUND, *(name for name in names if name != BACKGROUND)]
    if len(names) <= masks:
        raise DataError(f'{source} has no shape with an area; label some, or give --classes FILE')
    return tuple(names)


def _objects(path: str, shapes: Sequence[dict], classes: tuple[str, ...]):
    """Boxes of the shapes, and notes."""
    objects: dict[object, list[dict]] = {}
    notes = []
    for number, shape in enumerate(shapes):
        if not shape['polygons']:
            notes.append(('shape without an area', f'{path}: {shape["label"]}'))
        elif shape['label'] not in (*classes, IGNORE):
            notes.append(('unknown label', f'{path}: {shape["label"]}'))
        elif shape['label'] != IGNORE:
            group = shape.get('group_id')
            key = number if group is None else (shape['label'], group)
            objects.setdefault(key, []).append(shape)
    boxes: list[Box] = []
    for parts in objects.values():
        if any(part.get('shape_type') == 'mask' for part in parts):
            notes.append(('mask of pixels', f'{path}: {parts[0]["label"]}'))
        polygons = [polygon for part in parts for polygon in part['polygons']]
        label = classes.index(parts[0]['label'])
        boxes.append(enclosing_box(polygons, label, not any(map(_is_box, parts))))
    return boxes, notes


class _ShapeMaps:
    """Label maps drawn from the shapes of JSON files, later shapes over earlier ones."""

    as_is = False

    def __init__(self, classes: tuple[str, ...]):
        self.labels = {name: number for number, name in enumerate(classes)} | {IGNORE: IGNORED}
        self.values = Values(len(classes))

    def open(self, path: str) -> Image.Image:
        content = _content(Path(path))
        assert content is not None
        image = Image.new('L', (content['imageWidth'], content['imageHeight']))
        draw = ImageDraw.Draw(image)
        for shape in content['shapes']:
            label = self.labels.get(shape['label'])
            if label is None:
                continue
            if shape.get('mask'):
                with Image.open(io.BytesIO(base64.b64decode(shape['mask']))) as mask:
                    corner = tuple(round(value) for value in min(shape['points']))
                    # LabelMe writes 0 and 1, of which Pillow makes neither black nor white.
                    drawn = (np.asarray(mask) > 0).astype(np.uint8) * 255
                    image.paste(label, corner, Image.fromarray(drawn))
                continue
            for polygon in shape['polygons']:
                draw.polygon(polygon, fill=label)
        return image

    def read(self, image: Image.Image) -> tuple[np.ndarray, dict[int, int]]:
        return self.values.read(image)
