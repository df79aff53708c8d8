"""Cars-196 (Krause et al., 3DRR 2013): Stanford Cars for retrieval, as identity lists.

The first 98 classes are for training, the others are searched, over the images of both splits, as
in ``pytorch_metric_learning``; each test image is a query among all others. The set was published
in two forms: that of :mod:`.stanford_cars`, and ``car_ims/`` with all images and
``cars_annos.mat``, whose ``annotations`` have the fields ``relative_im_path`` and ``class`` (from
1), and which has ``class_names``.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from scipy.io import loadmat

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import IdentityLists
from allinone.conversion.source import read_samples

from . import stanford_cars

__all__ = ['data_set']

IMAGES, ANNOTATIONS = 'car_ims', 'cars_annos.mat'
TRAINED = 98  # classes
PUBLISHED = dict(train=8_054, test=8_131)


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``car_ims``, or with ``cars_train``, ``cars_test``, ``devkit``."""
    if (source / IMAGES).exists() or (source / ANNOTATIONS).exists():
        parts: tuple[Part, ...] = (
            Part(IMAGES, 'car_ims.tgz', suffix='.jpg'),
            Part(ANNOTATIONS, f'{ANNOTATIONS} (a download of its own)'),
        )
        readers: list[Callable[[Path], Iterable[Sample]]] = [all_samples]
        classes, names = class_names, ANNOTATIONS
    else:
        described = stanford_cars.data_set(source)
        parts = described.parts
        readers = [
            partial(read_samples, data_set=described, split=split) for split in described.splits
        ]
        classes, names = stanford_cars.class_names, described.names
    return DataSet(
        name='cars196',
        title='Cars-196',
        home='https://ai.stanford.edu/~jkrause/cars/car_dataset.html',
        parts=parts,
        splits=tuple(
            Split(split, partial(samples, split == 'train', readers), parts[-1].path, images)
            for split, images in PUBLISHED.items()
        ),
        classes=lambda source: tuple(name.strip() for name in classes(source)),
        names=names,
        format=IdentityLists(),
    )


def class_names(source: Path) -> tuple[str, ...]:
    names = loadmat(source / ANNOTATIONS, squeeze_me=True)['class_names']
    return tuple(str(name) for name in names)


def all_samples(source: Path) -> Iterator[Sample]:
    for car in loadmat(source / ANNOTATIONS, squeeze_me=True)['annotations']:
        yield Sample(str(car['relative_im_path']), label=int(car['class']) - 1)


def samples(
    train: bool, readers: list[Callable[[Path], Iterable[Sample]]], source: Path
) -> Iterator[Sample]:
    for reader in readers:
        for sample in reader(source):
            assert sample.label is not None
            if (sample.label < TRAINED) == train:
                # Both folders have a 00001.jpg.
                yield Sample(sample.image, label=sample.label, name=sample.image)
