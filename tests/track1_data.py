"""A made-up data set in Track 1's layout."""

import json

import cv2
import numpy as np

IMAGES = 6
SIGNS = [f's{number}' for number in range(45)]


def make_track1(root, seed=0):
    """``cls``, ``dec`` and ``seg`` below ``root``, six small images a split."""
    random = np.random.default_rng(seed)
    for split in ('train', 'val'):
        _cars(root / 'cls', split, random)
        _signs(root / 'dec', split, random)
        _streets(root / 'seg', split, random)
    return root


def _image(path, random, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def _cars(root, split, random):
    labels = random.integers(0, 196, IMAGES)
    for number in range(IMAGES):
        _image(root / split / f'{number:05}.jpg', random, (40, 30))
    lines = [f'{number:05}.jpg {label}\n' for number, label in enumerate(labels)]
    (root / f'{split}.txt').write_text(''.join(lines))


def _signs(root, split, random):
    images, boxes = [], []
    for number in range(IMAGES):
        name = f'{number + 100}.jpg'
        _image(root / split / name, random, (96, 96))
        images.append(dict(id=number + 100, file_name=name, width=96, height=96))
        for _ in range(3):
            left, top, width, height = random.integers(8, 40, 4).tolist()
            boxes.append(
                dict(
                    id=len(boxes) + 1,
                    image_id=number + 100,
                    category_id=int(random.integers(1, 46)),
                    bbox=[left, top, width, height],
                    area=width * height,
                    iscrowd=0,
                )
            )
    categories = [dict(id=number, name=name) for number, name in enumerate(SIGNS, 1)]
    content = dict(images=images, annotations=boxes, categories=categories)
    (root / f'{split}.json').write_text(json.dumps(content))


def _streets(root, split, random):
    for number in range(IMAGES):
        _image(root / 'images' / split / f'{number}.jpg', random, (96, 54))
        path = root / 'label' / split / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks = random.choice([*range(19), 255], (6, 8)).astype(np.uint8)
        cv2.imwrite(str(path), blocks.repeat(9, 0).repeat(12, 1))
