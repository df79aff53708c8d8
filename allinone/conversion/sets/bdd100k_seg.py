"""BDD100K semantic segmentation, the 19 classes of Cityscapes, 255 ignored; the set of Track 1.

Masks ``labels/sem_seg/masks/SPLIT/NAME.png`` have one channel with the class of each pixel
(``doc/source/format.rst``); they are linked unchanged.
"""

from pathlib import Path

from allinone.conversion.data_set import DataSet
from allinone.conversion.label_maps import Values

from .bdd100k import IMAGES_10K, segmentation

__all__ = ['CLASSES', 'data_set']

CLASSES = (
    *('road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign'),
    *('vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train'),
    *('motorcycle', 'bicycle'),
)


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``images/10k`` and ``labels/sem_seg``."""
    return segmentation(
        name='bdd100k_seg',
        title='BDD100K semantic segmentation',
        images=IMAGES_10K,
        labels='labels/sem_seg/masks',
        archive='bdd100k_sem_seg_labels_trainval.zip',
        published={'train': 7_000, 'val': 1_000},
        classes=CLASSES,
        coding=Values(len(CLASSES)),
    )
