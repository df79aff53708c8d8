"""BDD100K (Yu et al., CVPR 2020): code shared by its parts.

Archives and folders are those of the documentation (bdd100k/bdd100k, ``doc/source/download.rst``),
unpacked in one place; paths are relative to the folder ``bdd100k`` in each archive. The
documentation has no numbers of files. Those of the masks are from the authors' model zoo
(SysCV/bdd100k-models, ``drivable`` and ``sem_seg``), which has none for lanes.
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
    """Describe a set of ``images/*/SPLIT/NAME.jpg`` and label maps ``LABELS/SPLIT/NAME.png``.

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
    """One sample per label map, sorted by name."""
    for path in sorted((source / labels).glob('*.png')):
        yield Sample(f'{images}/{path.stem}.jpg', label_map=f'{labels}/{path.name}')
