"""CUB-200-2011 (Wah et al., 2011): 200 species of birds for retrieval, as identity lists.

``images.txt`` has lines ``ID PATH`` of the images in ``images/``, ``image_class_labels.txt`` lines
``ID CLASS`` and ``classes.txt`` lines ``CLASS NAME``, numbered from 1 (the set's ``README``). The
first 100 classes are for training, the others are searched, as in ``pytorch_metric_learning``; each
test image is a query among all others. Images are whole, and ``bounding_boxes.txt`` is not read.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import IdentityLists

__all__ = ['data_set']

ARCHIVE = 'CUB_200_2011.tgz'
IMAGES, LABELS, CLASSES = 'images.txt', 'image_class_labels.txt', 'classes.txt'
TRAINED = 100  # classes


def data_set(source: Path) -> DataSet:
    """Describe the folder ``CUB_200_2011`` with ``images`` and ``images.txt``."""
    return DataSet(
        name='cub200',
        title='CUB-200-2011',
        home='https://www.vision.caltech.edu/datasets/cub_200_2011/',
        parts=(
            Part('images', ARCHIVE, suffix='.jpg'),
            *(Part(name, ARCHIVE) for name in (IMAGES, LABELS, CLASSES)),
        ),
        splits=(
            Split('train', partial(samples, True), IMAGES, 5_864),
            Split('test', partial(samples, False), IMAGES, 5_924),
        ),
        classes=class_names,
        names=CLASSES,
        format=IdentityLists(),
    )


def class_names(source: Path) -> tuple[str, ...]:
    rows = _rows(source / CLASSES)
    if [number for number, _ in rows] != [*range(1, 2 * TRAINED + 1)]:
        raise ValueError(f'{CLASSES} has not the classes 1 to {2 * TRAINED} in order')
    return tuple(name for _, name in rows)


def samples(train: bool, source: Path) -> Iterator[Sample]:
    names = class_names(source)
    labels = {number: int(label) - 1 for number, label in _rows(source / LABELS)}
    rows = _rows(source / IMAGES)
    if {number for number, _ in rows} != labels.keys():
        raise ValueError(f'{IMAGES} and {LABELS} do not have the same images')
    for line, (number, path) in enumerate(rows, 1):
        label = labels[number]
        if label not in range(len(names)) or path.split('/')[0] != names[label]:
            raise ValueError(f'{IMAGES} has {path!r}, which {LABELS} has in class {label + 1}')
        if not path.endswith('.jpg'):
            raise ValueError(f'{IMAGES}, line {line} is cut short: {path!r}')
        if (label < TRAINED) == train:
            yield Sample(f'images/{path}', label=label, name=path, listed=f'{IMAGES}, line {line}')


def _rows(table: Path) -> list[tuple[int, str]]:
    rows = []
    for number, line in enumerate(table.read_text(encoding='utf-8').splitlines(), 1):
        fields = line.split()
        if len(fields) != 2:
            raise ValueError(f'{table.name}, line {number} is {line!r}')
        rows.append((int(fields[0]), fields[1]))
    return rows
