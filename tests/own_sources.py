"""Toy scenes in the forms in which people have their data: YOLO, VOC, folders, label maps."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

# Two sizes of each class of the toy boxes, and a class that no image has
YOLO_CLASSES = (
    *('near vehicle', 'far vehicle', 'near pedestrian', 'far pedestrian'),
    *('near sign', 'far sign', 'bus'),
)
NEAR = 900  # pixels
AREAS = ('sky', 'building', 'road', 'pavement', 'tree', 'vehicle', 'sign')
KINDS = ('day', 'overcast', 'dusk', 'night')


def own_sources(toy: Path, out: Path) -> None:
    """Write ``yolo``, ``voc``, ``kinds`` and ``maps`` into a folder.

    Args:
        toy: Toy data, as ``make_toy_data`` makes them.
        out: The folder.
    """
    for write in (yolo, voc, kinds, maps):
        write(toy, out / write.__name__)


def boxes(toy: Path, split: str):
    """Images with their objects: ``(path, (width, height), [(class, x, y, width, height)])``."""
    content = json.loads((toy / f'det/{split}.json').read_text())
    names = {entry['id']: entry['name'] for entry in content['categories']}
    for image in content['images']:
        found = [
            (names[entry['category_id']], *entry['bbox'])
            for entry in content['annotations']
            if entry['image_id'] == image['id']
        ]
        path = toy / f'det/{split}' / image['file_name']
        yield path, (image['width'], image['height']), found


def yolo(toy: Path, out: Path) -> None:
    """As Ultralytics reads it: ``data.yaml``, ``images/SPLIT`` and ``labels/SPLIT``.

    https://docs.ultralytics.com/datasets/detect/
    """
    for split in ('train', 'val'):
        for folder in ('images', 'labels'):
            (out / folder / split).mkdir(parents=True)
        for path, (width, height), found in boxes(toy, split):
            shutil.copy(path, out / 'images' / split)
            rows = []
            for name, x, y, w, h in found:
                label = YOLO_CLASSES.index(f'{"near" if w * h > NEAR else "far"} {name}')
                centre = (x + w / 2) / width, (y + h / 2) / height
                values = (f'{value:.6f}' for value in (*centre, w / width, h / height))
                rows.append(f'{label} {" ".join(values)}\n')
            (out / 'labels' / split / f'{path.stem}.txt').write_text(''.join(rows))
    names = ''.join(f'  {index}: {name}\n' for index, name in enumerate(YOLO_CLASSES))
    (out / 'data.yaml').write_text(
        f'path: .\ntrain: images/train\nval: images/val\n\nnames:\n{names}'
    )


def voc(toy: Path, out: Path) -> None:
    """As labelImg writes it: an XML file for each image, with coordinates from 1.

    http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf
    """
    for folder in ('JPEGImages', 'Annotations'):
        (out / folder).mkdir(parents=True)
    for path, size, found in boxes(toy, 'train'):
        shutil.copy(path, out / 'JPEGImages')
        root = ElementTree.Element('annotation')
        fields(root, folder='JPEGImages', filename=path.name)
        fields(ElementTree.SubElement(root, 'size'), width=size[0], height=size[1], depth=3)
        for name, x, y, w, h in found:
            thing = ElementTree.SubElement(root, 'object')
            fields(thing, name=name, pose='Unspecified', truncated=0, difficult=0)
            box = ElementTree.SubElement(thing, 'bndbox')
            fields(box, xmin=x + 1, ymin=y + 1, xmax=x + w, ymax=y + h)
        ElementTree.ElementTree(root).write(out / f'Annotations/{path.stem}.xml')


def fields(parent: ElementTree.Element, **values) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, name).text = str(value)


def kinds(toy: Path, out: Path) -> None:
    """A folder of images for each class, as ``torchvision.datasets.ImageFolder`` reads them."""
    for row in (toy / 'cls/train.txt').read_text().splitlines():
        name, label = row.split()
        folder = out / KINDS[int(label) // 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(toy / 'cls/train' / name, folder)


def maps(toy: Path, out: Path) -> None:
    """Images and PNGs of the same stem with a palette, as VOC has them, and a file of classes."""
    palette = [value for index in range(256) for value in (index, 53 * index % 256, 255 - index)]
    for split in ('train', 'val'):
        shutil.copytree(toy / f'seg/images/{split}', out / f'images/{split}')
        (out / f'masks/{split}').mkdir(parents=True)
        for path in (toy / f'seg/label/{split}').iterdir():
            coloured = Image.open(path).convert('L')
            coloured.putpalette(palette)
            coloured.save(out / f'masks/{split}' / path.name)
    (out / 'classes.txt').write_text('\n'.join(AREAS) + '\n')
