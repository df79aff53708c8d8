"""Cityscapes, fine annotations (Cordts et al., CVPR 2016), with its 19 training classes.

``gtFine/SPLIT/CITY/*_gtFine_labelIds.png`` has the ids 0 to 33 of all labels. This module writes
``*_labelTrainIds.png`` with the 19 training classes, which ``mmseg.CityscapesDataset`` reads and
the download lacks. The table is from ``cityscapesscripts/helpers/labels.py``. The results equal
those of its ``createTrainIdLabelImgs``, which paints the same polygons in the same order.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import LabelMaps
from allinone.conversion.label_maps import IGNORED, Values

from .bdd100k_seg import CLASSES

__all__ = ['data_set']

IMAGES, LABELS = 'leftImg8bit_trainvaltest.zip', 'gtFine_trainvaltest.zip'
PUBLISHED = dict(train=2_975, val=500)
IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TABLE = {value: IGNORED for value in range(34)} | {value: n for n, value in enumerate(IDS)}


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``leftImg8bit`` and ``gtFine``."""
    return DataSet(
        name='cityscapes',
        title='Cityscapes',
        home='https://www.cityscapes-dataset.com/downloads/',
        parts=(
            *(
                Part(f'leftImg8bit/{split}', IMAGES, suffix='_leftImg8bit.png')
                for split in PUBLISHED
            ),
            *(
                Part(f'gtFine/{split}', LABELS, files, '_gtFine_labelIds.png')
                for split, files in PUBLISHED.items()
            ),
        ),
        splits=tuple(
            Split(split, partial(samples, split), f'gtFine/{split}', files)
            for split, files in PUBLISHED.items()
        ),
        classes=CLASSES,
        format=LabelMaps(Values(19, TABLE), 'leftImg8bit/{split}', 'gtFine/{split}'),
    )


def samples(split: str, source: Path) -> Iterator[Sample]:
    for path in sorted((source / 'gtFine' / split).glob('*/*_gtFine_labelIds.png')):
        city, stem = path.parent.name, path.name.removesuffix('_gtFine_labelIds.png')
        yield Sample(
            f'leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png',
            label_map=f'gtFine/{split}/{city}/{path.name}',
            name=f'{city}/{stem}_leftImg8bit.png',
            label_name=f'{city}/{stem}_gtFine_labelTrainIds.png',
        )
