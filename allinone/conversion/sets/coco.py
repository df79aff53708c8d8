"""COCO 2017 detection (Lin et al., ECCV 2014), 80 classes: checked and linked.

``annotations/instances_SPLIT2017.json`` has ``images`` (``id``, ``file_name``), ``annotations``
(``image_id``, ``bbox`` as ``[x, y, width, height]``, ``category_id``, ``iscrowd``) and
``categories``, whose ids have gaps (https://cocodataset.org/#format-data). It is read element by
element, because the full training file takes gigabytes of memory.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import Box, DataSet, Part, Sample, Split
from allinone.conversion.files import json_elements
from allinone.conversion.formats import CocoAsIs

__all__ = ['data_set']

ANNOTATIONS = 'annotations/instances_{split}2017.json'
PUBLISHED = dict(train=118_287, val=5_000)


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``train2017``, ``val2017`` and ``annotations``."""
    archive = 'annotations_trainval2017.zip'
    return DataSet(
        name='coco',
        title='COCO 2017',
        home='https://cocodataset.org/#download',
        parts=(
            *(Part(f'{split}2017', f'{split}2017.zip', suffix='.jpg') for split in PUBLISHED),
            *(Part(ANNOTATIONS.format(split=split), archive) for split in PUBLISHED),
        ),
        splits=tuple(
            Split(
                split,
                partial(samples, ANNOTATIONS.format(split=split), f'{split}2017', None),
                ANNOTATIONS.format(split=split),
                published,
            )
            for split, published in PUBLISHED.items()
        ),
        classes=class_names,
        names=ANNOTATIONS.format(split='val'),
        format=CocoAsIs(source, '{split}2017', ANNOTATIONS),
    )


def class_names(source: Path) -> tuple[str, ...]:
    content = json.loads((source / ANNOTATIONS.format(split='val')).read_bytes())
    return tuple(category['name'] for category in content['categories'])


def samples(
    annotations: str, images: str, classes: tuple[str, ...] | None, source: Path
) -> Iterator[Sample]:
    """Yield the images of a COCO file, in its order, each with its boxes.

    Args:
        annotations: The file, relative to ``source``.
        images: Folder of its images, relative to ``source``.
        classes: Names of the categories in class index order; boxes of other categories are an
            error. None: all categories, in the order of the file.
        source: The download.
    """
    elements = partial(json_elements, source / annotations)
    names = {found['id']: found['file_name'] for found in elements('images')}
    categories = {found['id']: found['name'] for found in elements('categories')}
    boxes = defaultdict(list)
    for found in elements('annotations'):
        box = (*found['bbox'], found['category_id'], bool(found.get('iscrowd')))
        boxes[found['image_id']].append(box)
    numbers = {name: n for n, name in enumerate(classes or categories.values())}
    labels = {key: numbers[name] for key, name in categories.items() if name in numbers}
    for number, name in names.items():
        sample = Sample(f'{images}/{name}')
        sample.boxes, sample.notes = [], []
        for x, y, width, height, category, crowd in boxes.pop(number, ()):
            if category in labels:
                sample.boxes.append(Box(x, y, width, height, labels[category], crowd))
            else:
                what = categories.get(category, category)
                sample.notes.append(('unknown label', f'{name}: category {what}'))
        yield sample
    if boxes:
        raise ValueError(f'it has boxes of {len(boxes)} images that it does not list')
