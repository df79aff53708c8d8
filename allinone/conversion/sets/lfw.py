"""LFW (Huang et al., 2007): faces, as an identity list, and the pairs of its verification.

``lfw/NAME/NAME_0001.jpg`` are the images; a funneled copy has another folder. ``pairs.txt`` has the
number of folds and of pairs on its first line; each fold has as many lines ``NAME N M`` of one
person's images, and as many lines ``NAME N NAME M`` of two persons' (the set's ``README.txt``,
"3c. pairs.txt file format"). The people of the pairs are not for training, so there is one split.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.files import replacing
from allinone.conversion.formats import IdentityLists
from allinone.conversion.report import Report
from allinone.io.identity_lists import in_natural_order

__all__ = ['data_set']

FOLDERS = {
    'lfw': 'lfw.tgz',
    'lfw_funneled': 'lfw-funneled.tgz',
    'lfw-deepfunneled': 'lfw-deepfunneled.tgz',
}
PAIRS = 'pairs.txt'
SPLIT = 'images'


class Pair(NamedTuple):
    """Names of two images, whether they show one person, fold from 1, line in ``pairs.txt``."""

    first: str
    second: str
    same: bool
    fold: int
    line: int


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``lfw`` and ``pairs.txt``."""
    folder = next((name for name in FOLDERS if (source / name).exists()), 'lfw')
    return DataSet(
        name='lfw',
        title='LFW',
        home='http://vis-www.cs.umass.edu/lfw/',
        parts=(
            Part(folder, FOLDERS[folder], suffix='.jpg'),
            Part(PAIRS, f'{PAIRS} (a download of its own)'),
        ),
        splits=(Split(SPLIT, lambda source: samples(folder, source), PAIRS, 13_233),),
        classes=lambda source: people(folder, source),
        names=PAIRS,
        format=ListAndPairs(source),
    )


class ListAndPairs(IdentityLists):
    """Also ``pairs.txt`` with lines ``PATH PATH 0|1 FOLD``, for ``VerificationMetrics``.

    Args:
        source: The download.
    """

    def __init__(self, source: Path):
        self.source = source

    def files(self, split: str) -> tuple[str, ...]:
        return (*super().files(split), PAIRS)

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        with super().writer(out, split, report, link) as lists:
            writer = _NamingWriter(lists)
            yield writer
        with replacing(os.path.join(out, PAIRS)) as file:
            for pair in pairs(self.source):
                names = pair.first, pair.second
                if writer.names.issuperset(names):
                    paths = '\t'.join(f'{split}/{name}' for name in names)
                    file.write(f'{paths}\t{int(pair.same)}\t{pair.fold}\n')
                else:
                    report.note('pair without its images', f'{PAIRS}, line {pair.line}')


class _NamingWriter:
    boxes = None

    def __init__(self, lists: Any):
        self.lists, self.labels = lists, lists.labels
        self.names: set[str] = set()

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        self.lists.add(sample, size, pixels)
        self.names.add(sample.name)


def people(folder: str, source: Path) -> tuple[str, ...]:
    """All people, in order."""
    return tuple(in_natural_order(name.split('/')[0] for name in _lines_of(folder, source)))


def samples(folder: str, source: Path) -> Iterator[Sample]:
    labels = {name: number for number, name in enumerate(people(folder, source))}
    for name, line in sorted(_lines_of(folder, source).items()):
        listed = f'{PAIRS}, line {line}' if line else ''
        image = f'{folder}/{name}'
        yield Sample(image, label=labels[name.split('/')[0]], name=name, listed=listed)


def pairs(source: Path) -> list[Pair]:
    """The pairs of all folds."""
    lines = (source / PAIRS).read_text(encoding='utf-8').splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    folds, number = map(int, lines[0].split())
    if len(lines) != 2 * folds * number + 1:
        raise ValueError(f'it has {len(lines) - 1:,} pairs and not {2 * folds * number:,}')
    found = []
    for place, line in enumerate(lines[1:]):
        same = place // number % 2 == 0
        fields = line.split()
        if len(fields) != (3 if same else 4):
            raise ValueError(f'line {place + 2} is {line!r}')
        other = fields[0] if same else fields[2]
        names = _name(fields[0], fields[1]), _name(other, fields[-1])
        found.append(Pair(*names, same, place // (2 * number) + 1, place + 2))
    return found


def _lines_of(folder: str, source: Path) -> dict[str, int]:
    """Names of all images, and of those of pairs that are missing, with their first line or 0."""
    paths = (source / folder).glob('*/*.jpg')
    found = {f'{path.parent.name}/{path.name}': 0 for path in paths}
    for pair in pairs(source):
        for name in (pair.first, pair.second):
            found[name] = found.get(name) or pair.line
    return found


def _name(person: str, number: str) -> str:
    return f'{person}/{person}_{int(number):04}.jpg'
