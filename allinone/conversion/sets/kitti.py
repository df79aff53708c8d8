"""KITTI 2D object detection (Geiger et al., CVPR 2012), 8 classes.

``training/label_2/NAME.txt`` has one object per line, with 15 fields separated by spaces: type,
truncated, occluded, alpha, the box as left, top, right, bottom (from 0), and seven fields of its 3D
box (``readme.txt`` of the object development kit). ``DontCare`` is a region, not an object, and is
omitted. The set has no validation split; the common one, of Chen et al. (NIPS 2015), is the lists
``ImageSets/train.txt`` and ``val.txt`` of traveller59/second.pytorch (``second/data/ImageSets``)
and open-mmlab/OpenPCDet (``data/kitti/ImageSets``).
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import Box, DataSet, Part, Sample, Split
from allinone.conversion.formats import CocoBoxes
from allinone.errors import DataError

__all__ = ['CLASSES', 'data_set']

CLASSES = ('Car', 'Van', 'Truck', 'Pedestrian', 'Person_sitting', 'Cyclist', 'Tram', 'Misc')
NO_CLASS = 'DontCare'
FIELDS = 15
IMAGES, LABELS = 'training/image_2', 'training/label_2'
PUBLISHED = dict(train=3_712, val=3_769)
LISTS = 'the lists of OpenPCDet (data/kitti/ImageSets; they are in no archive of KITTI)'


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``training`` and ``ImageSets``."""
    return DataSet(
        name='kitti',
        title='KITTI object detection',
        home='https://www.cvlibs.net/datasets/kitti/eval_object.php?obj_benchmark=2d',
        parts=(
            Part(IMAGES, 'data_object_image_2.zip', suffix='.png'),
            Part(LABELS, 'data_object_label_2.zip', suffix='.txt'),
            *(Part(f'ImageSets/{split}.txt', LISTS) for split in PUBLISHED),
        ),
        splits=tuple(
            Split(split, partial(samples, split), f'ImageSets/{split}.txt', published)
            for split, published in PUBLISHED.items()
        ),
        classes=CLASSES,
        format=CocoBoxes(),
    )


def samples(split: str, source: Path) -> Iterator[Sample]:
    for name in (source / f'ImageSets/{split}.txt').read_text(encoding='utf-8').split():
        label_map = f'{LABELS}/{name}.txt'
        sample = Sample(f'{IMAGES}/{name}.png', label_map=label_map)
        sample.boxes, sample.notes = [], []
        labels = source / label_map
        if labels.exists():  # Otherwise the check of all files reports it as missing.
            for kind, left, top, right, bottom in _objects(labels):
                if kind in CLASSES:
                    box = Box(left, top, right - left, bottom - top, CLASSES.index(kind))
                    sample.boxes.append(box)
                elif kind == NO_CLASS:
                    sample.notes.append(('box of another class', kind))
                else:
                    sample.notes.append(('unknown label', f'{labels.name}: {kind}'))
        yield sample


def _objects(labels: Path) -> Iterator[tuple[str, float, float, float, float]]:
    with open(labels, encoding='utf-8', newline='') as file:
        for fields in csv.reader(file, delimiter=' '):
            if len(fields) != FIELDS:
                raise DataError(
                    f'{labels} is damaged or cut short (a line has {len(fields)} of {FIELDS} '
                    'fields); unpack data_object_label_2.zip again'
                )
            left, top, right, bottom = map(float, fields[4:8])
            yield fields[0], left, top, right, bottom
