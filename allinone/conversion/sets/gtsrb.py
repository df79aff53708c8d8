"""GTSRB, German traffic signs, 43 classes (Stallkamp et al., IJCNN 2011), as an image list.

``Final_Training/Images/CLASS/`` has images ``TRACK_FRAME.ppm`` and ``GT-CLASS.csv``,
``Final_Test/Images/`` has the test images, which are val here; their classes are in
``GT-final_test.csv``, a separate archive. The tables are separated by semicolons and have the
columns ``Filename`` and ``ClassId`` (the archives' ``Readme-Images.txt``;
``torchvision.datasets.GTSRB``).
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import ImageListDataset

__all__ = ['data_set']

TRAIN, VAL = 'GTSRB/Final_Training/Images', 'GTSRB/Final_Test/Images'
LABELS = 'GT-final_test.csv'
CLASSES = 43


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``GTSRB`` and ``GT-final_test.csv``."""
    places = (LABELS, f'GTSRB/{LABELS}', f'{VAL}/{LABELS}')  # Its archive has no folder.
    labels = next((place for place in places if (source / place).exists()), LABELS)
    return DataSet(
        name='gtsrb',
        title='GTSRB',
        home='https://benchmark.ini.rub.de/gtsrb_dataset.html',
        parts=(
            Part(TRAIN, 'GTSRB_Final_Training_Images.zip', suffix='.ppm'),
            Part(VAL, 'GTSRB_Final_Test_Images.zip', suffix='.ppm'),
            Part(labels, 'GTSRB_Final_Test_GT.zip'),
        ),
        splits=(
            Split('train', partial(train, TRAIN), TRAIN, 39_209),
            Split('val', partial(val, labels), labels, 12_630),
        ),
        classes=tuple(map(str, range(CLASSES))),
        format=ImageListDataset(),
    )


def train(images: str, source: Path) -> Iterator[Sample]:
    for number in range(CLASSES):
        folder = f'{number:05}'
        table = source / images / folder / f'GT-{folder}.csv'
        for row in _rows(table):
            if int(row['ClassId']) != number:
                raise ValueError(f'{table.name} has {row["Filename"]} in class {row["ClassId"]}')
            # Track numbers restart in each class.
            name = f'{folder}/{row["Filename"]}'
            yield Sample(f'{images}/{name}', label=number, name=name)


def val(labels: str, source: Path) -> Iterator[Sample]:
    for row in _rows(source / labels):
        yield Sample(f'{VAL}/{row["Filename"]}', label=int(row['ClassId']))


def _rows(table: Path) -> Iterator[dict[str, str]]:
    with open(table, encoding='utf-8', newline='') as file:
        for row in csv.DictReader(file, delimiter=';'):
            if not row['ClassId']:
                raise ValueError(f'{table.name} ends in the midst of a line')
            yield row
