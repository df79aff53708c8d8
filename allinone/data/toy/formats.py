"""Files of the data sets: images of a split to paths and contents, image or text."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .classes import (
    DET_CLASSES,
    DRIVABLE_CLASSES,
    IGNORE,
    KIND_OF_SIGN,
    ROAD,
    SCENE_CLASSES,
    SEG_CLASSES,
    SIGN_KINDS,
)
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


class CocoFile:
    """Annotations of images in COCO format, of the things that ``class_of`` gives an index."""

    def __init__(self, classes: Sequence[str], class_of: Callable[[Thing], int | None]) -> None:
        self.class_of = class_of
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.categories = [{'id': i, 'name': name} for i, name in enumerate(classes, 1)]

    def add(self, number: int, name: str, painted: SceneImage) -> None:
        height, width = painted.classes.shape
        self.images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
        for thing, box in painted.boxes():
            index = self.class_of(thing)
            if index is None:
                continue
            self.annotations.append(
                {
                    'id': len(self.annotations) + 1,
                    'image_id': number,
                    'category_id': index + 1,
                    'bbox': box,
                    'area': box[2] * box[3],
                    'iscrowd': 0,
                }
            )

    def text(self) -> str:
        return json.dumps(
            {
                'images': self.images,
                'annotations': self.annotations,
                'categories': self.categories,
            }
        )


def coco(
    split: str,
    painted_images: Iterable[SceneImage],
    classes: Sequence[str],
    class_of: Callable[[Thing], int | None],
) -> Files:
    """Images with COCO annotations."""
    file = CocoFile(classes, class_of)
    for number, painted in enumerate(painted_images, 1):
        name = f'{number:05d}.jpg'
        yield f'{split}/{name}', painted.image
        file.add(number, name, painted)
    yield f'{split}.json', file.text()


def label_maps(split: str, painted_images: Iterable[SceneImage]) -> Files:
    """Images with label maps."""
    for number, painted in enumerate(painted_images, 1):
        yield f'images/{split}/{number:05d}.jpg', painted.image
        yield f'label/{split}/{number:05d}.png', painted.classes


def labels_of_street(split: str, number: int) -> set[str]:
    """Which labels image ``number`` of the set of several tasks has, by its number alone.

    A road map always; in training boxes in 3 of 4 images, a class map in 2 of 3 and a scene in
    every other 8, which show one of each kind; in validation all but a few.
    """
    block = (number - 1) // len(SCENE_CLASSES)
    if split == 'train':
        lacking = dict(det=(number + block) % 4 == 0, seg=number % 3 == 0, cls=block % 2 == 1)
    else:
        lacking = dict(det=number % 7 == 3, seg=number % 7 == 5, cls=number % 9 == 0)
    return {'drivable', *(task for task, lacks in lacking.items() if not lacks)}


def several(split: str, painted_images: Iterable[SceneImage]) -> Files:
    """Images with boxes, class maps, road maps and scenes, each for some of them."""
    boxes, mapped, scenes = CocoFile(DET_CLASSES, _object_class), [], []
    for number, painted in enumerate(painted_images, 1):
        stem = f'{number:05d}'
        labels = labels_of_street(split, number)
        yield f'images/{split}/{stem}.jpg', painted.image
        road = np.where(painted.classes == IGNORE, IGNORE, painted.classes == ROAD)
        yield f'drivable/{split}/{stem}.png', road.astype(np.uint8)
        if 'det' in labels:
            boxes.add(number, f'{stem}.jpg', painted)
        if 'seg' in labels:
            yield f'label/{split}/{stem}.png', painted.classes
            mapped.append(f'{stem}\n')
        if 'cls' in labels:
            scenes.append(f'{stem}.jpg {(number - 1) % len(SCENE_CLASSES)}\n')
    yield f'boxes_{split}.json', boxes.text()
    yield f'label_{split}.txt', ''.join(mapped)
    yield f'scene_{split}.txt', ''.join(scenes)


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
    'street': Format(
        'all of these',
        'COCO JSON, label PNG, image lists',
        ('those of `det`', '`seg`', '`cls`', *DRIVABLE_CLASSES),
        several,
    ),
}
README = """# Toy street scenes

Painted by `tools/make_toy_data.py` (generator {generator}, seed {seed}); no photograph is used.

| folder | task | format | train | val | classes |
|---|---|---|---|---|---|
{rows}

Images of `cls` are {crop} pixels, all others {scene} pixels. In `seg`, label {ignore} is
ignored: pixels on the border of two classes, people, lamps and boxes on the pavement. In `signs`,
stop, yield and priority signs appear but belong to none of the kinds. `street` has labels of
several tasks on the same images: boxes (`boxes_*.json`) of the classes of `det`, class maps
(`label`, listed in `label_*.txt`) of those of `seg`, road maps (`drivable`: other, road) and scenes
(`scene_*.txt`) of the classes of `cls`. In training {boxed} images have boxes, {mapped} a class
map, {scenes} a scene and all a road map; in validation few lack any. Objects of which less than
{visible:.0%} would be visible are not painted. `toy.json` tells how the folder was made.
"""


def readme(recipe: dict, counts: dict[str, tuple[int, int]]) -> str:
    """README of the data sets with these counts of train and val images."""
    rows = []
    for name, (train, val) in counts.items():
        task, layout, classes, _ = FORMATS[name]
        rows.append(f'| `{name}` | {task} | {layout} | {train} | {val} | {", ".join(classes)} |')
    labels = [labels_of_street('train', number + 1) for number in range(counts['street'][0])]
    boxed, mapped, scenes = (
        sum(task in found for found in labels) for task in ('det', 'seg', 'cls')
    )
    return README.format(
        **recipe,
        boxed=boxed,
        mapped=mapped,
        scenes=scenes,
        rows='\n'.join(rows),
        ignore=IGNORE,
        crop='x'.join(map(str, TAGGED_SIZE)),
        visible=MIN_VISIBLE,
        scene='x'.join(map(str, SCENE_SIZE)),
    )
