"""CompCars, web-nature (Yang et al., CVPR 2015): 431 models of cars, as an image list.

``image/MAKE/MODEL/YEAR/NAME.jpg`` are the images, ``train_test_split/classification/train.txt``
and ``test.txt`` list those of the classification task, one path per line, without ``image/``.
``misc/make_model_name.mat`` has the cell arrays ``make_names`` and ``model_names``; the numbers in
the paths are 1-based indices into them (the set's ``README.txt``). The classes are the models in
``train.txt`` by number; the test split is val here.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from scipy.io import loadmat

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import ImageListDataset

__all__ = ['data_set']

LISTS = 'train_test_split/classification'
NAMES = 'misc/make_model_name.mat'
ARCHIVE = 'data.zip (with all its volumes)'
PUBLISHED = dict(train=('train', 16_016), val=('test', 14_939))


def data_set(source: Path) -> DataSet:
    """Describe the folder ``data`` with ``image``, ``misc`` and ``train_test_split``."""
    return DataSet(
        name='compcars',
        title='CompCars',
        home='http://mmlab.ie.cuhk.edu.hk/datasets/comp_cars/',
        parts=(
            Part('image', ARCHIVE, suffix='.jpg'),
            Part(NAMES, ARCHIVE),
            *(Part(f'{LISTS}/{name}.txt', ARCHIVE) for name, _ in PUBLISHED.values()),
        ),
        splits=tuple(
            Split(split, partial(samples, name), f'{LISTS}/{name}.txt', published)
            for split, (name, published) in PUBLISHED.items()
        ),
        classes=class_names,
        names=NAMES,
        format=ImageListDataset(),
    )


def class_names(source: Path) -> tuple[str, ...]:
    names = loadmat(source / NAMES)
    return tuple(
        f'{_text(names["make_names"], make)} {_text(names["model_names"], model)}'
        for make, model in _models(source)
    )


def samples(name: str, source: Path) -> Iterator[Sample]:
    labels = {model: number for number, (_, model) in enumerate(_models(source))}
    for path in _paths(source, name):
        _, model, _, _ = path.split('/')
        yield Sample(f'image/{path}', label=labels.get(int(model), -1), name=path)


def _models(source: Path) -> list[tuple[int, int]]:
    """Make and model of each class."""
    fields = (path.split('/') for path in _paths(source, 'train'))
    return sorted({(int(make), int(model)) for make, model, _, _ in fields}, key=lambda m: m[1])


def _paths(source: Path, name: str) -> list[str]:
    return (source / LISTS / f'{name}.txt').read_text(encoding='utf-8').split()


def _text(cells, number: int) -> str:
    """Text of a cell of a MATLAB array; cells may be empty."""
    text = cells[number - 1, 0]
    return str(text[0]).strip() if text.size else str(number)
