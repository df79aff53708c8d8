"""BDD100K lane markings as label maps of their category, direction or style.

A mask ``labels/lane/masks/SPLIT/NAME.png`` encodes all three in the bits of one byte, from the
highest: two unused, direction, style, background, and three for category
(``bdd100k/eval/lane.py``). The classes are from ``doc/source/format.rst``; background is the last.
"""

from pathlib import Path

from allinone.conversion.data_set import DataSet
from allinone.conversion.label_maps import Values

from .bdd100k import IMAGES_100K, segmentation

__all__ = ['CLASSES', 'data_set']

BACKGROUND = 0b1000
# ``{labels: (lowest bit, number of bits)}``
BITS = dict(category=(0, 3), direction=(5, 1), style=(4, 1))
CLASSES = dict(
    category=(
        *('crosswalk', 'double other', 'double white', 'double yellow', 'road curb'),
        *('single other', 'single white', 'single yellow', 'background'),
    ),
    direction=('parallel', 'vertical', 'background'),
    style=('solid', 'dashed', 'background'),
)


def data_set(source: Path, labels: str = 'category') -> DataSet:
    """Describe the folder with ``images/100k`` and ``labels/lane``.

    ``labels`` selects the classes: ``category`` (9 classes), ``direction`` or ``style`` (3).
    """
    return segmentation(
        name='bdd100k_lane',
        title='BDD100K lane markings',
        images=IMAGES_100K,
        labels='labels/lane/masks',
        archive='bdd100k_lane_labels_trainval.zip',
        published={'train': None, 'val': None},  # not published
        classes=CLASSES[labels],
        coding=Values(len(CLASSES[labels]), table(labels)),
        options=dict(labels=labels),
    )


def table(labels: str) -> dict[int, int]:
    """Class of each value of a mask's byte."""
    lowest, bits = BITS[labels]
    background = len(CLASSES[labels]) - 1
    return {
        byte: background if byte & BACKGROUND else byte >> lowest & (1 << bits) - 1
        for byte in range(256)
    }
