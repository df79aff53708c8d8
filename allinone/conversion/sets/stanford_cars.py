"""Stanford Cars (Krause et al., 3DRR 2013): 196 makes, models and years, as an image list.

The development kit has a MATLAB struct array ``annotations`` per split, with the fields
``bbox_x1``, ``bbox_y1``, ``bbox_x2``, ``bbox_y2``, ``class`` (from 1) and ``fname``, and
``cars_meta.mat`` with the cell array ``class_names`` (``devkit/README.txt``; read the same way by
``torchvision.datasets.StanfordCars``). The labels of the test split, which is val here, are a
separate file.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from scipy.io import loadmat

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import ImageListDataset
from allinone.errors import DataError

__all__ = ['data_set']

META, TRAIN = 'devkit/cars_meta.mat', 'devkit/cars_train_annos.mat'
VAL = 'cars_test_annos_withlabels.mat'


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``cars_train``, ``cars_test`` and ``devkit``."""
    # Copies of the set have the labels of the test split in one of two places.
    val = f'devkit/{VAL}' if (source / 'devkit' / VAL).exists() else VAL
    return DataSet(
        name='stanford_cars',
        title='Stanford Cars',
        home='https://ai.stanford.edu/~jkrause/cars/car_dataset.html',
        parts=(
            Part('cars_train', 'cars_train.tgz', suffix='.jpg'),
            Part('cars_test', 'cars_test.tgz', suffix='.jpg'),
            Part(META, 'car_devkit.tgz'),
            Part(TRAIN, 'car_devkit.tgz'),
            Part(val, f'{VAL} (a download of its own)'),
        ),
        splits=(
            Split('train', partial(samples, annotations=TRAIN, folder='cars_train'), TRAIN, 8144),
            Split('val', partial(samples, annotations=val, folder='cars_test'), val, 8041),
        ),
        classes=class_names,
        names=META,
        format=ImageListDataset(),
    )


def class_names(source: Path) -> tuple[str, ...]:
    names = loadmat(source / META, squeeze_me=True)['class_names']
    return tuple(str(name) for name in names)


def samples(source: Path, annotations: str, folder: str) -> Iterator[Sample]:
    for car in loadmat(source / annotations, squeeze_me=True)['annotations']:
        if 'class' not in car.dtype.names:
            raise DataError(f'{source / annotations} has no labels; unpack {VAL} over it')
        yield Sample(f'{folder}/{car["fname"]}', label=int(car['class']) - 1)
