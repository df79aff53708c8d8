"""Files of the data sets: images of a split to paths and contents, image or text."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .classes import DET_CLASSES, IGNORE, KIND_OF_SIGN, SCENE_CLASSES, SEG_CLASSES, SIGN_KINDS
from .scene import MIN_VISIBLE, SceneImage, Thing
from .street import SCENE_SIZE, TAGGED_SIZE

Files = Iterator[tuple[str, np.ndarray | str]]


class Format(NamedTuple):
    """Task of a data set, and the function that lays out one of its splits."""

    task: str
    layout: str
    classes: tuple[str, ...]
    files: Callable[[str, Iterable[SceneImage]], Files]


def image_list(split: str, painted_images: Iterable[SceneImage]) -> Files:
    """Images with a list of their names and labels."""
    lines = []
    for i, painted in enumerate(painted_images):
        name = f'{i + 1:05d}.png'
        yield f'{split}/{name}', painted.image
        lines.append(f'{name} {i % len(SCENE_CLASSES)}\n')
    yield f'{split}.txt', ''.join(lines)


def coco(
    split: str,
    painted_images: Iterable[SceneImage],
    classes: Sequence[str],
    class_of: Callable[[Thing], int | None],
) -> Files:
    """Images with COCO annotations of the things that ``class_of`` gives an index."""
    images: list[dict] = []
    annotations: list[dict] = []
    for number, painted in enumerate(painted_images, 1):
        name = f'{number:05d}.jpg'
        yield f'{split}/{name}', painted.image
        height, width = painted.classes.shape
        images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
        for thing, box in painted.boxes():
            index = class_of(thing)
            if index is None:
                continue
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': index + 1,
                    'bbox': box,
                    'area': box[2] * box[3],
                    'iscrowd': 0,
                }
            )
    categories = [{'id': i, 'name': name} for i, name in enumerate(classes, 1)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    yield f'{split}.json', json.dumps(content)


def label_maps(split: str, painted_images: Iterable[SceneImage]) -> Files:
    """Images with label maps."""
    for number, painted in enumerate(painted_images, 1):
        yield f'images/{split}/{number:05d}.jpg', painted.image
        yield f'label/{split}/{number:05d}.png', painted.classes


def _object_class(thing: Thing) -> int | None:
    return thing.det


def _sign_kind(thing: Thing) -> int | None:
    return None if thing.design is None else KIND_OF_SIGN.get(thing.design)


FORMATS = {
    'cls': Format('classification', 'image lists', SCENE_CLASSES, image_list),
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
README = """# Toy street scenes

Painted by `tools/make_toy_data.py` (generator {generator}, seed {seed}); no photograph is used.

| folder | task | format | train | val | classes |
|---|---|---|---|---|---|
{rows}

Images of `cls` are {crop} pixels, all others {scene} pixels. In `seg`, label {ignore} is
ignored: pixels on the border of two classes, people, lamps and boxes on the pavement. In `signs`,
stop, yield and priority signs appear but belong to none of the kinds. Objects of which less than
{visible:.0%} would be visible are not painted. `toy.json` tells how the folder was made.
"""


def readme(recipe: dict, counts: dict[str, tuple[int, int]]) -> str:
    """README of the data sets with these counts of train and val images."""
    rows = []
    for name, (train, val) in counts.items():
        task, layout, classes, _ = FORMATS[name]
        rows.append(f'| `{name}` | {task} | {layout} | {train} | {val} | {", ".join(classes)} |')
    return README.format(
        **recipe,
        rows='\n'.join(rows),
        ignore=IGNORE,
        crop='x'.join(map(str, TAGGED_SIZE)),
        visible=MIN_VISIBLE,
        scene='x'.join(map(str, SCENE_SIZE)),
    )
