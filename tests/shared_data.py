"""A folder of a few images with boxes, masks, two label maps and a class, some of them absent."""

import json

import cv2
import numpy as np

WIDTH, HEIGHT, COUNT = 96, 64, 8
BOXED = (0, 1, 2, 4, 5, 7)
MAPPED = (0, 1, 3, 4, 6)
LANED = (1, 4)
CLASSED = (0, 2, 3, 4, 5, 6, 7)
CLASSES = ('a', 'b', 'c')


def write_shared_data(root) -> None:
    """Images ``00.png`` to ``07.png`` with a COCO file, two folders of label maps and a list."""
    random = np.random.default_rng(0)
    for name in ('images', 'seg', 'lane'):
        (root / name).mkdir(parents=True)
    images, boxes = [], []
    for number in range(COUNT):
        name = f'{number:02d}.png'
        pixels = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(root / 'images' / name), pixels)
        if number in BOXED:
            images.append(dict(id=100 + number, file_name=name, width=WIDTH, height=HEIGHT))
            # Image 5 has no box.
            for x, y, width, height in random.integers(4, 16, (0 if number == 5 else 3, 4)):
                corners = [x, y, x + width, y, x + width, y + height - 2, x, y + height]
                boxes.append(
                    dict(
                        id=len(boxes) + 1,
                        image_id=100 + number,
                        category_id=1 + len(boxes) % 3,
                        bbox=[int(x), int(y), int(width), int(height)],
                        area=int(width * height),
                        iscrowd=0,
                        segmentation=[[float(corner) for corner in corners]],
                    )
                )
        for folder, present, high in (('seg', MAPPED, 3), ('lane', LANED, 2)):
            labels = random.integers(0, high, (HEIGHT, WIDTH), np.uint8)
            labels[:3] = 255
            if number in present:
                cv2.imwrite(str(root / folder / name), labels)
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)]
    content = dict(images=images, annotations=boxes, categories=categories)
    (root / 'boxes.json').write_text(json.dumps(content))
    for name, present in (('seg', MAPPED), ('lane', LANED)):
        (root / f'{name}.txt').write_text(''.join(f'{number:02d}\n' for number in present))
    lines = [f'{number:02d}.png {number % 3}\n' for number in CLASSED]
    (root / 'classes.txt').write_text(''.join(lines))


def det(root, **options) -> dict:
    return dict(
        type='mmdet.CocoDataset',
        ann_file=f'{root}/boxes.json',
        data_prefix=dict(img=f'{root}/images/'),
        metainfo=dict(classes=CLASSES),
        **options,
    )


def seg(root, name='seg', classes=CLASSES, **options) -> dict:
    return dict(
        type='mmseg.BaseSegDataset',
        ann_file=f'{root}/{name}.txt',
        img_suffix='.png',
        data_prefix=dict(img_path=f'{root}/images', seg_map_path=f'{root}/{name}'),
        metainfo=dict(classes=classes),
        **options,
    )


def lane(root, **options) -> dict:
    return seg(root, 'lane', ('other', 'lane'), **options)


def cls(root, **options) -> dict:
    return dict(
        type='allinone.ImageListDataset',
        ann_file=f'{root}/classes.txt',
        data_prefix=f'{root}/images',
        metainfo=dict(classes=CLASSES),
        **options,
    )


def shared(labels, *transforms, load=None, **options):
    """A ``SharedDataset`` whose images go through these transforms."""
    from allinone.data import SharedDataset

    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadSharedAnnotations', **(load or {})),
        *transforms,
        dict(type='PackSharedInputs'),
    ]
    return SharedDataset(labels=labels, pipeline=pipeline, **options)
