"""ADE20K scene parsing, 150 classes (Zhou et al., CVPR 2017): checked and linked.

``annotations/{training,validation}/NAME.png`` has one channel: 0 is ignored, 1 to 150 are the
classes. The tab-separated table ``objectInfo150.txt`` has their names (the scene parsing
benchmark's description; ``mmseg.ADE20KDataset`` subtracts 1 with ``reduce_zero_label``).
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import LabelMaps
from allinone.conversion.label_maps import Values

__all__ = ['data_set']

ARCHIVE = 'ADEChallengeData2016.zip'
NAMES = 'objectInfo150.txt'
PUBLISHED = dict(training=20_210, validation=2_000)


def data_set(source: Path) -> DataSet:
    """Describe the folder ``ADEChallengeData2016``."""
    return DataSet(
        name='ade20k',
        title='ADE20K (ADEChallengeData2016)',
        home='http://sceneparsing.csail.mit.edu/',
        parts=(
            *(Part(f'images/{split}', ARCHIVE, suffix='.jpg') for split in PUBLISHED),
            *(
                Part(f'annotations/{split}', ARCHIVE, files, '.png')
                for split, files in PUBLISHED.items()
            ),
            Part(NAMES, ARCHIVE),
        ),
        splits=tuple(
            Split(split, partial(samples, split), f'annotations/{split}', files)
            for split, files in PUBLISHED.items()
        ),
        classes=class_names,
        names=NAMES,
        format=LabelMaps(Values(150, shift=1), labels='annotations/{split}'),
    )


def class_names(source: Path) -> tuple[str, ...]:
    with open(source / NAMES, encoding='utf-8', newline='') as file:
        names = tuple(row['Name'].strip() for row in csv.DictReader(file, delimiter='\t'))
    if len(names) != 150:
        raise ValueError(f'it has {len(names)} of 150 classes')
    return names


def samples(split: str, source: Path) -> Iterator[Sample]:
    for path in sorted((source / 'annotations' / split).glob('*.png')):
        yield Sample(
            f'images/{split}/{path.stem}.jpg', label_map=f'annotations/{split}/{path.name}'
        )
