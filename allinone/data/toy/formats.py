"""Files of the data sets: pictures of a split to paths and contents, image or text."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .classes import DET_CLASSES, KIND_OF_SIGN, SCENE_CLASSES, SEG_CLASSES, SIGN_KINDS
from .painter import Picture
from .scene import Thing

Files = Iterator[tuple[str, np.ndarray | str]]


class Format(NamedTuple):
    """What a data set is for, and the function that lays out one of its splits."""

    task: str
    layout: str
    classes: tuple[str, ...]
    files: Callable[[str, Iterable[Picture]], Files]


def picture_list(split: str, pictures: Iterable[Picture]) -> Files:
    """Pictures with a list of their names and labels."""
    lines = []
    for i, picture in enumerate(pictures):
        name = f'{i + 1:05d}.png'
        yield f'{split}/{name}', picture.image
        lines.append(f'{name} {i % len(SCENE_CLASSES)}\n')
    yield f'{split}.txt', ''.join(lines)


def coco(
    split: str,
    pictures: Iterable[Picture],
    classes: Sequence[str],
    class_of: Callable[[Thing], int | None],
) -> Files:
    """Pictures with COCO annotations of the things that ``class_of`` gives an index."""
    images, annotations = [], []
    for number, picture in enumerate(pictures, 1):
        name = f'{number:05d}.jpg'
        yield f'{split}/{name}', picture.image
        height, width = picture.classes.shape
        images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
        for thing, box in picture.boxes():
            if class_of(thing) is None:
                continue
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': class_of(thing) + 1,
                    'bbox': box,
                    'area': box[2] * box[3],
                    'iscrowd': 0,
                }
            )
    categories = [{'id': i, 'name': name} for i, name in enumerate(classes, 1)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    yield f'{split}.json', json.dumps(content)


def label_maps(split: str, pictures: Iterable[Picture]) -> Files:
    """Pictures with label maps."""
    for number, picture in enumerate(pictures, 1):
        yield f'images/{split}/{number:05d}.jpg', picture.image
        yield f'label/{split}/{number:05d}.png', picture.classes


def _object_class(thing: Thing) -> int | None:
    return thing.det


def _sign_kind(thing: Thing) -> int | None:
    return KIND_OF_SIGN.get(thing.design)


FORMATS = {
    'cls': Format('classification', 'picture lists', SCENE_CLASSES, picture_list),
    'det': Format(
        'detection',
        'COCO JSON',
        DET_CLASSES,
        partial(coco, classes=DET_CLASSES, class_of=_object_class),
    ),
    'seg': Format('segmentation', 'label PNG', SEG_CLASSES, label_maps),
    'signs': Format(
        'detection',
        'COCO JSON',
        SIGN_KINDS,
        partial(coco, classes=SIGN_KINDS, class_of=_sign_kind),
    ),
}
