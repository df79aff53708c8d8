"""Market-1501 (Zheng et al., ICCV 2015): persons seen by six cameras, as identity lists.

The images are ``bounding_box_train/``, ``query/`` and ``bounding_box_test/``, which is the gallery;
``0002_c1s1_000451_03.jpg`` is of person 2 by camera 1, sequence 1, frame 451, box 3 (the set's
``readme.txt``). Identity 0000 has the distractors of the gallery; -1 is junk, which counts neither
as right nor as wrong, and is left out as in ``torchreid``.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import IdentityLists
from allinone.io.identity_lists import in_natural_order

__all__ = ['data_set']

ARCHIVE = 'Market-1501-v15.09.15.zip'
NAME = re.compile(r'(-1|\d{4})_c(\d+)s\d+_.+\.jpg')
JUNK = '-1'
# Folder, images in it, images of the split
PUBLISHED = dict(
    train=('bounding_box_train', 12_936, 12_936),
    query=('query', 3_368, 3_368),
    gallery=('bounding_box_test', 19_732, 15_913),
)


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``bounding_box_train``, ``query`` and ``bounding_box_test``."""
    return DataSet(
        name='market1501',
        title='Market-1501',
        home='https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html',
        parts=tuple(
            Part(folder, ARCHIVE, files=files, suffix='.jpg')
            for folder, files, _ in PUBLISHED.values()
        ),
        splits=tuple(
            Split(split, partial(samples, folder), folder, images)
            for split, (folder, _, images) in PUBLISHED.items()
        ),
        classes=identities,
        names=PUBLISHED['train'][0],
        format=IdentityLists(),
    )


def identities(source: Path) -> tuple[str, ...]:
    """All identities of the set but junk, in order."""
    matches = [
        NAME.fullmatch(name)
        for folder, _, _ in PUBLISHED.values()
        for name in _names(source / folder)
    ]
    found = in_natural_order(match[1] for match in matches if match)
    return tuple(identity for identity in found if identity != JUNK)


def samples(folder: str, source: Path) -> Iterator[Sample]:
    labels = {identity: number for number, identity in enumerate(identities(source))}
    for name in _names(source / folder):
        match = NAME.fullmatch(name)
        image = f'{folder}/{name}'
        if not match:
            raise ValueError(f'{image} is not named as 0002_c1s1_000451_03.jpg')
        identity, camera = match.groups()
        fault = ('junk image', image, '') if identity == JUNK else None
        yield Sample(image, label=labels.get(identity, -1), camera=camera, fault=fault)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == '.jpg')
