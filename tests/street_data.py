"""Tiny Cityscapes and BDD100K whose images have labels of several tasks."""

import json

import cv2
import numpy as np
from conftest import run_tool
from pycocotools import mask as masks

CONVERTERS = ('det', 'drivable', 'lane', 'seg')
LANES = (0x08, 0x16, 0x20)  # Background; single white, dashed; crosswalk, vertical
CITY_CLASSES = ('person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
TRAINED = 4  # images of each training set; two of each validation set


def make_bdd100k(root) -> None:
    """A download of images 96 x 54, converted below ``root``; the last image has no boxes' entry.

    Images of semantic segmentation have names of the others, but are different files.
    """
    random = np.random.default_rng(0)
    source = root / 'download'
    for split, count in dict(train=TRAINED, val=2).items():
        frames = []
        for number in range(count):
            name = f'{number:08x}-{split}'
            for images in ('100k', '10k'):
                _image(source / f'images/{images}/{split}/{name}.jpg', random, (96, 54))
            for labels, values in dict(drivable=(0, 1, 2), lane=LANES, sem_seg=range(19)).items():
                path = source / f'labels/{labels}/masks/{split}/{name}.png'
                _label_map(path, random, list(values), (96, 54))
            corners = dict(x1=10 + number, y1=12, x2=60, y2=44.5)
            car = dict(id='0', category='car', attributes={}, box2d=corners)
            frames.append(dict(name=f'{name}.jpg', labels=[car]))
        path = source / f'labels/det_20/det_{split}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(frames[:-1] if split == 'train' else frames))
    for name in CONVERTERS:
        out = root / f'bdd100k_{name}'
        assert run_tool('convert', f'bdd100k_{name}', source, out, '--partial', '--quiet') == 0


def make_cityscapes(root) -> None:
    """``leftImg8bit``, ``gtFine`` and ``annotations`` below ``root``, of images 128 x 64."""
    random = np.random.default_rng(0)
    for split, count in dict(train=TRAINED, val=2).items():
        images, objects = [], []
        for number in range(count):
            stem = f'aachen/aachen_{number:06}_000019'
            _image(root / f'leftImg8bit/{split}/{stem}_leftImg8bit.png', random, (128, 64))
            path = root / f'gtFine/{split}/{stem}_gtFine_labelTrainIds.png'
            _label_map(path, random, [*range(19), 255], (128, 64))
            name = f'{stem}_leftImg8bit.png'
            images.append(dict(id=number, file_name=name, width=128, height=64))
            for x, y in random.integers(0, 40, (2, 2)).tolist():
                filled = np.zeros((64, 128), np.uint8)
                filled[y : y + 20, x : x + 30] = 1
                # As mmdet's converter of Cityscapes writes them
                mask = masks.encode(np.asfortranarray(filled))
                mask['counts'] = mask['counts'].decode()
                objects.append(
                    dict(
                        id=len(objects) + 1,
                        image_id=number,
                        category_id=24 + len(objects) % 8,
                        bbox=[x, y, 30, 20],
                        area=600,
                        iscrowd=0,
                        segmentation=mask,
                    )
                )
        categories = [dict(id=24 + number, name=name) for number, name in enumerate(CITY_CLASSES)]
        path = root / f'annotations/instancesonly_filtered_gtFine_{split}.json'
        path.parent.mkdir(exist_ok=True)
        content = dict(images=images, annotations=objects, categories=categories)
        path.write_text(json.dumps(content))


def _image(path, random, size) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), random.integers(0, 256, (size[1], size[0], 3), np.uint8))


def _label_map(path, random, values, size) -> None:
    """Four columns of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = random.choice(values, 4).astype(np.uint8).repeat(size[0] // 4)
    cv2.imwrite(str(path), np.tile(columns, (size[1], 1)))
