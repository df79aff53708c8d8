"""BDD100K (Yu et al., CVPR 2020): what its parts have in common.

Archives and folders are those of the documentation (bdd100k/bdd100k, ``doc/source/download.rst``),
unpacked in one place and named from the ``bdd100k`` that each of them holds. It has no numbers;
those of the masks are of the authors' model zoo (SysCV/bdd100k-models, ``drivable`` and
``sem_seg``), which gives none for lanes.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import LabelMaps
from allinone.conversion.label_maps import Values

__all__ = ['HOME', 'IMAGES_100K', 'segmentation']

HOME = 'https://bdd-data.berkeley.edu/'
IMAGES_100K = ('images/100k', 'bdd100k_images_100k.zip')
IMAGES_10K = ('images/10k', 'bdd100k_images_10k.zip')


def segmentation(
    name: str,
    title: str,
    images: tuple[str, str],
    labels: str,
    archive: str,
    published: dict[str, int | None],
    classes: tuple[str, ...],
    coding: Values,
    options: dict[str, str] | None = None,
) -> DataSet:
    """A set of images ``images/*/SPLIT/NAME.jpg`` with label maps ``LABELS/SPLIT/NAME.png``.

    ``published`` is the number of label maps of each split.
    """
    folder, image_archive = images
    return DataSet(
        name=name,
        title=title,
        home=HOME,
        parts=(
            *(Part(f'{folder}/{split}', image_archive, suffix='.jpg') for split in published),
            *(
                Part(f'{labels}/{split}', archive, files, suffix='.png')
                for split, files in published.items()
            ),
        ),
        splits=tuple(
            Split(
                split,
                partial(pairs, f'{folder}/{split}', f'{labels}/{split}'),
                f'{labels}/{split}',
                count,
            )
            for split, count in published.items()
        ),
        classes=classes,
        format=LabelMaps(coding),
        options=options or {},
    )


def pairs(images: str, labels: str, source: Path) -> Iterator[Sample]:
    """A sample for each label map, in the order of the names."""
    for path in sorted((source / labels).glob('*.png')):
        yield Sample(f'{images}/{path.stem}.jpg', label_map=f'{labels}/{path.name}')
