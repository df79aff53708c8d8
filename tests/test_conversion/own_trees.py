"""Tiny trees in the true formats of own data, with odd names: spaces, umlauts, `.JPG`."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from trees import label_map, photo, write_json

NAMES = ('cat', 'big dog', 'Vögel')
ODD = ('a b.jpg', 'straße.JPG', 'c.png', 'd.e.jpeg')
# Boxes of 96 x 64 images in pixels from 0: label, left, top, right, bottom
BOXES = {
    'a b.jpg': [(0, 10, 20, 40, 50), (2, 0, 0, 96, 64)],
    'straße.JPG': [(1, 50.5, 5.25, 90, 60)],
    'c.png': [],
    'd.e.jpeg': [(2, 1, 1, 3, 3)],
}
VAL = ('v.jpg', [(0, 8, 8, 24, 24), (1, 30, 30, 60, 62)])


@dataclass
class Tree:
    """A source: ``make(root)`` fills it.

    ``annotations`` is a file to cut short, ``image`` one that has labels, ``unknown(root)`` writes
    a class that there is not, and ``word`` is what an error then has. ``argv`` are options.
    """

    make: Callable[[Path], None]
    annotations: str
    image: str
    unknown: Callable[[Path], None]
    word: str
    argv: tuple[str, ...] = ()
    train: int = 4
    kind: str = 'det'


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))

    return change


def yolo_lines(boxes, size=(96, 64)) -> str:
    width, height = size
    rows = []
    for label, left, top, right, bottom in boxes:
        centre = (left + right) / 2 / width, (top + bottom) / 2 / height
        extent = (right - left) / width, (bottom - top) / height
        rows.append(' '.join([str(label), *(f'{value:.6f}' for value in (*centre, *extent))]))
    return '\n'.join(rows)


def yolo(root: Path) -> None:
    for number, (name, boxes) in enumerate(BOXES.items()):
        photo(root / f'images/train/{name}', number)
        labels = (root / f'labels/train/{name}').with_suffix('.txt')
        labels.parent.mkdir(parents=True, exist_ok=True)
        if boxes:  # `c.png` has no file of labels.
            labels.write_text(yolo_lines(boxes) + '\n')
    photo(root / f'images/val/{VAL[0]}', 9)
    (root / 'labels/val').mkdir()
    (root / 'labels/val/v.txt').write_text(yolo_lines(VAL[1]))
    (root / 'data.yaml').write_text(
        'path: ../datasets/of/another/machine\ntrain: images/train\nval: images/val\ntest:\n\n'
        'names:\n  0: cat\n  1: big dog\n  2: Vögel\n'
    )


def voc(root: Path) -> None:
    names = {**BOXES, VAL[0]: VAL[1]}
    for number, (name, boxes) in enumerate(names.items()):
        photo(root / f'JPEGImages/{name}', number)
        things = ''.join(
            f'<object><name>{NAMES[label]}</name><pose>Left</pose><difficult>{int(label == 1)}'
            f'</difficult><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax>'
            f'<ymax>{bottom}</ymax></bndbox></object>'
            for label, left, top, right, bottom in boxes
        )
        file = (root / f'Annotations/{name}').with_suffix('.xml')
        file.parent.mkdir(exist_ok=True)
        file.write_text(
            f'<annotation><folder>x</folder><filename>{name}</filename><size><width>96</width>'
            f'<height>64</height><depth>3</depth></size>{things}</annotation>'
        )
    photo(root / 'JPEGImages/nobody.jpg', 77)
    label_map(root / 'SegmentationClass/v.png', [0, 1])
    lists = root / 'ImageSets/Main'
    lists.mkdir(parents=True)
    stems = [Path(name).stem for name in BOXES]
    (lists / 'train.txt').write_text('\n'.join(stems) + '\n')
    (lists / 'val.txt').write_text('v\n')
    (lists / 'trainval.txt').write_text('\n'.join([*stems, 'v']) + '\n')
    (lists / 'cat_train.txt').write_text('\n'.join(f'{stem} -1' for stem in stems) + '\n')


def labelme_shape(label, points, kind='polygon', group=None):
    flags = dict(flags={}, description='', mask=None)
    return dict(label=label, points=points, group_id=group, shape_type=kind) | flags


def labelme(root: Path) -> None:
    for split, names in (('train', BOXES), ('val', dict([VAL]))):
        for number, (name, boxes) in enumerate(names.items()):
            image = root / split / name
            photo(image, number + 10 * len(names))
            shapes = [
                labelme_shape(
                    NAMES[label], [[left, top], [right, top], [right, bottom], [left, bottom]]
                )
                for label, left, top, right, bottom in boxes
            ]
            if name == 'c.png':  # The image is only in the JSON file.
                data = base64.b64encode(image.read_bytes()).decode()
                image.unlink()
            content = dict(version='5.5.0', flags={}, shapes=shapes, imagePath=name)
            content |= dict(imageData=data if name == 'c.png' else None)
            content |= dict(imageHeight=64, imageWidth=96)
            write_json(image.with_suffix('.json'), content)


def cvat(root: Path) -> None:
    def shapes(boxes):
        return ''.join(
            f'<box label="{NAMES[label]}" source="manual" occluded="0" xtl="{left}" ytl="{top}" '
            f'xbr="{right}" ybr="{bottom}" z_order="0"><attribute name="age">3</attribute></box>'
            for label, left, top, right, bottom in boxes
        )

    labels = ''.join(
        f'<label><name>{name}</name><color>#fff</color><type>any</type><attributes></attributes>'
        '</label>'
        for name in NAMES
    )
    images = ''
    for subset, names in (('Train', BOXES), ('Validation', dict([VAL]))):
        for number, (name, boxes) in enumerate(names.items()):
            photo(root / f'images/{subset}/{name}', number + 10 * len(names))
            line = '<polyline label="cat" points="1,2;3,4" z_order="0"></polyline>'
            images += (
                f'<image id="{number}" name="{name}" subset="{subset}" task_id="1" width="96" '
                f'height="64">{shapes(boxes)}{line if name == "c.png" else ""}</image>'
            )
    (root / 'annotations.xml').write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><project>'
        f'<id>4</id><name>p</name><labels>{labels}</labels></project></meta>{images}</annotations>'
    )


def coco(root: Path) -> None:
    """Roboflow's export, with the category that is none."""
    categories = [dict(id=0, name='animals', supercategory='none')]
    categories += [dict(id=n, name=x, supercategory='animals') for n, x in enumerate(NAMES, 1)]
    for split, names in (('train', BOXES), ('valid', dict([VAL]))):
        images, annotations = [], []
        for number, (name, boxes) in enumerate(names.items()):
            photo(root / f'{split}/{name}', number + 10 * len(names))
            images.append(dict(id=number, license=1, file_name=name, height=64, width=96))
            for label, left, top, right, bottom in boxes:
                item = dict(id=len(annotations), image_id=number, category_id=label + 1, iscrowd=0)
                item |= dict(bbox=[left, top, right - left, bottom - top], segmentation=[])
                annotations.append(item | dict(area=(right - left) * (bottom - top)))
        content = dict(info={}, licenses=[], categories=categories, images=images)
        write_json(
            root / f'{split}/_annotations.coco.json', content | dict(annotations=annotations)
        )


def folders(root: Path) -> None:
    for number, name in enumerate(
        ('cat/a b.jpg', 'cat/x/ä.JPG', 'Big dog/a b.jpg', 'Big dog/b.ppm')
    ):
        photo(root / f'train/{name}', number)
    photo(root / 'valid/cat/v.jpg', 9)
    photo(root / 'train/stray.jpg', 10)


def masks(root: Path) -> None:
    palette = [*range(256)] * 3  # all of it, because 255 is used
    stripes = {'a b.jpg': [0, 1, 2], 'straße.JPG': [255, 2], 'c.jpg': [1], 'd.e.jpg': [0, 0, 1]}
    for number, (name, values) in enumerate(stripes.items()):
        photo(root / f'images/train/{name}', number)
        label_map((root / f'masks/train/{name}').with_suffix('.png'), values, palette=palette)
    photo(root / 'images/val/v.jpg', 9)
    label_map(root / 'masks/val/v.png', [2, 1, 0], palette=palette)
    (root / 'classes.txt').write_text('\n'.join(NAMES) + '\n')


def colour_masks(root: Path) -> None:
    """CVAT's "Segmentation mask 1.1"."""
    colours = ((0, 0, 0), (128, 64, 128), (250, 170, 30))
    for number, name in enumerate(('a b', 'v')):
        photo(root / f'JPEGImages/{name}.jpg', number)
        label_map(root / f'SegmentationClass/{name}.png', colours[: number + 2])
        label_map(root / f'SegmentationObject/{name}.png', [(0, 0, 0), (9, 9, 9)])
    lists = root / 'ImageSets/Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('a b\n')
    (lists / 'val.txt').write_text('v\n')
    (root / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\n'
        'big sign:250,170,30::\n'
    )


def unknown_value(path: str, value) -> Callable[[Path], None]:
    return lambda root: label_map(root / path, [value])


def labelme_other_file(root: Path) -> None:
    (root / 'labels.txt').write_text('cat\nbig dog\n')


TREES = dict(
    yolo=Tree(
        yolo,
        'labels/train/a b.txt',
        'images/train/a b.jpg',
        replaced('labels/train/a b.txt', '2 0.5', '3 0.5'),
        'labels/train/a b.txt, class 3 of 3',
    ),
    voc=Tree(
        voc,
        'Annotations/a b.xml',
        'JPEGImages/a b.jpg',
        labelme_other_file,
        'Annotations/a b.xml: Vögel',
    ),
    labelme=Tree(
        labelme, 'train/a b.json', 'train/a b.jpg', labelme_other_file, 'train/a b.json: Vögel'
    ),
    cvat=Tree(
        cvat,
        'annotations.xml',
        'images/Train/a b.jpg',
        replaced('annotations.xml', 'box label="Vögel"', 'box label="fish"'),
        'a b.jpg: fish in annotations.xml',
    ),
    coco=Tree(
        coco,
        'train/_annotations.coco.json',
        'train/a b.jpg',
        replaced('train/_annotations.coco.json', '"category_id": 3', '"category_id": 7'),
        'a b.jpg: category 7 in train/_annotations.coco.json',
    ),
    folders=Tree(
        folders,
        '',
        'train/cat/a b.jpg',
        lambda root: photo(root / 'valid/fish/f.jpg', 20),
        'valid/fish/f.jpg: train has no fish',
        kind='cls',
    ),
    masks=Tree(
        masks,
        'masks/train/a b.png',
        'images/train/a b.jpg',
        unknown_value('masks/train/a b.png', 3),
        'masks/train/a b.png: it has the value 3',
        kind='seg',
    ),
    colour_masks=Tree(
        colour_masks,
        'SegmentationClass/a b.png',
        'JPEGImages/a b.jpg',
        unknown_value('SegmentationClass/a b.png', (1, 2, 3)),
        'SegmentationClass/a b.png: it has the colour (1, 2, 3)',
        train=1,
        kind='seg',
    ),
)
TREES['labelme_masks'] = Tree(
    labelme,
    'train/a b.json',
    'train/a b.jpg',
    labelme_other_file,
    'train/a b.json: Vögel',
    ('--as', 'masks'),
    kind='seg',
)


def two_of_a_stem(root: Path, key: str) -> str:
    """Add an image of the stem of another one; the path of both without suffix."""
    first = root / TREES[key].image
    Image.open(first).save(first.with_suffix('.png'))
    return str(Path(TREES[key].image).with_suffix(''))


def converter(key: str) -> str:
    return key.split('_')[-1] if key == 'colour_masks' else key.split('_')[0]


def coco_boxes(file: Path) -> dict[str, list]:
    """Boxes of a written COCO file by image: label, left, top, right, bottom."""
    content = json.loads(file.read_text())
    names = {image['id']: image['file_name'] for image in content['images']}
    found = {name: [] for name in names.values()}
    for item in content['annotations']:
        x, y, width, height = item['bbox']
        found[names[item['image_id']]].append(
            (item['category_id'] - 1, x, y, x + width, y + height)
        )
    return found
