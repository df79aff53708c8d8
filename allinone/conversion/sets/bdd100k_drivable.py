"""BDD100K drivable area: 0 direct, 1 alternative, 2 background.

Masks ``labels/drivable/masks/SPLIT/NAME.png`` have one channel with the class of each pixel
(``doc/source/format.rst``); they are linked unchanged.
"""

from pathlib import Path

from allinone.conversion.data_set import DataSet
from allinone.conversion.label_maps import Values

from .bdd100k import IMAGES_100K, segmentation

__all__ = ['CLASSES', 'data_set']

CLASSES = ('direct', 'alternative', 'background')


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``images/100k`` and ``labels/drivable``."""
    return segmentation(
        name='bdd100k_drivable',
        title='BDD100K drivable area',
        images=IMAGES_100K,
        labels='labels/drivable/masks',
        archive='bdd100k_drivable_labels_trainval.zip',
        published={'train': 70_000, 'val': 10_000},
        classes=CLASSES,
        coding=Values(len(CLASSES)),
    )
