"""VeRi-776 (Liu et al., ICME 2016): vehicles seen by 20 cameras, as identity lists.

``name_train.txt``, ``name_query.txt`` and ``name_test.txt`` list the images of ``image_train/``,
``image_query/`` and ``image_test/``, one name per line; ``0001_c001_00016450_0.jpg`` is of vehicle
1 by camera 1 (the set's ``ReadMe.txt``). The test images are the gallery. ``train_label.xml``, with
colours and types, is not read.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import IdentityLists
from allinone.io.identity_lists import in_natural_order

__all__ = ['data_set']

ARCHIVE = "the authors' archive of VeRi"
NAME = re.compile(r'(\d{4})_c(\d{3})_.+\.jpg')
# Name in the download, images
PUBLISHED = dict(train=('train', 37_778), query=('query', 1_678), gallery=('test', 11_579))


def data_set(source: Path) -> DataSet:
    """Describe the folder ``VeRi`` with ``image_train``, ``name_train.txt`` and so on."""
    names = [name for name, _ in PUBLISHED.values()]
    return DataSet(
        name='veri776',
        title='VeRi-776',
        home='https://vehiclereid.github.io/VeRi/',
        parts=(
            *(Part(f'image_{name}', ARCHIVE, suffix='.jpg') for name in names),
            *(Part(f'name_{name}.txt', ARCHIVE) for name in names),
        ),
        splits=tuple(
            Split(split, partial(samples, name), f'name_{name}.txt', images)
            for split, (name, images) in PUBLISHED.items()
        ),
        classes=identities,
        names='name_train.txt',
        format=IdentityLists(),
    )


def identities(source: Path) -> tuple[str, ...]:
    """All identities of the set, in order."""
    matches = [
        NAME.fullmatch(line)
        for name, _ in PUBLISHED.values()
        for _, line in _lines(source / f'name_{name}.txt')
    ]
    return tuple(in_natural_order(match[1] for match in matches if match))


def samples(name: str, source: Path) -> Iterator[Sample]:
    labels = {identity: number for number, identity in enumerate(identities(source))}
    table = f'name_{name}.txt'
    for number, line in _lines(source / table):
        match = NAME.fullmatch(line)
        listed = f'{table}, line {number}'
        if not match:
            raise ValueError(f'{listed} is {line!r}, and no name as 0001_c001_00016450_0.jpg')
        identity, camera = match.groups()
        yield Sample(f'image_{name}/{line}', label=labels[identity], camera=camera, listed=listed)


def _lines(table: Path) -> list[tuple[int, str]]:
    """Number and text of each line that is not empty."""
    lines = table.read_text(encoding='utf-8').splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
