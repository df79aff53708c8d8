"""Reading of own data in any of the formats, as a data set to convert."""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split

from .files import check_folder, shorten
from .found import Found, Options
from .splits import divide

__all__ = ['prepare']

REMEDY = 'repair what is named'


def prepare(
    name: str,
    source: Path,
    options: Options,
    split: float | None = None,
    group: str | None = None,
    seed: int = 0,
) -> tuple[DataSet, Found]:
    """Read own data.

    Args:
        name: A module of this package: ``yolo``, ``voc``, ...
        source: The folder; not modified.
        options: Of the reader.
        split: Share of the images to train on, as for ``splits.divide``.
        group: Groups of images that stay together, as for ``splits.divide``.
        seed: Of the choice.

    Returns:
        The data set for ``convert``, and what was read.

    Raises:
        DataError: If the source has not the format, or cannot be cut as the arguments say.
    """
    reader = import_module(f'{__package__}.{name}')
    check_folder(source, reader.WANTED)
    found = reader.read(source, options)
    samples = divide(source, found, split, group, seed)
    if found.kind == 'det':
        for some in samples.values():
            shorten(some)
    given = dict(classes=options.classes and options.classes.name, split=split, group=group)
    if name == 'labelme':
        given['as'] = options.target
    if split is not None and split < 1:
        given['seed'] = seed
    watched = [Part('.', '', watched=True)]
    if options.classes:
        watched.append(Part(str(options.classes.absolute()), ''))
    data_set = DataSet(
        name=name,
        title=reader.TITLE,
        home='',
        parts=tuple(watched),
        splits=tuple(
            Split(key, partial(_each, some), '.', len(some)) for key, some in samples.items()
        ),
        classes=found.classes,
        format=found.format,
        options={key: str(value) for key, value in given.items() if value is not None},
        remedy=REMEDY,
        notes=found.notes,
    )
    return data_set, found


def _each(samples: Sequence[Sample], _: Path) -> Iterator[Sample]:
    return iter(samples)
