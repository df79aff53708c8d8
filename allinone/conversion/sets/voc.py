"""PASCAL VOC 2007 and 2012 (Everingham et al., IJCV 2010), 20 classes: checked and linked.

``VOC20??/Annotations/NAME.xml`` has one ``object`` per instance with ``name``, ``difficult`` and
``bndbox`` (``xmin``, ``ymin``, ``xmax``, ``ymax`` in pixels from 1, the last one included), and
``ImageSets/Main`` lists the splits (the development kits' documentation). As usual, ``trainval`` of
both years is train here, and ``test`` of 2007, the last public one, is val. ``mmdet.VOCDataset``
reads the annotations as they are.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from allinone.conversion.data_set import Box, DataSet, Part, Sample, Split
from allinone.conversion.formats import VocXml
from allinone.errors import DataError

__all__ = ['CLASSES', 'data_set']

CLASSES = tuple(
    'aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike '
    'person pottedplant sheep sofa train tvmonitor'.split()
)
TRAIN_2007, TEST_2007 = 'VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar'
TRAIN_2012 = 'VOCtrainval_11-May-2012.tar'
LISTS = {
    'VOC2007/ImageSets/Main/trainval.txt': TRAIN_2007,
    'VOC2012/ImageSets/Main/trainval.txt': TRAIN_2012,
    'VOC2007/ImageSets/Main/test.txt': TEST_2007,
}
ARCHIVES = {'VOC2007': f'{TRAIN_2007} and {TEST_2007}', 'VOC2012': TRAIN_2012}

Corners = tuple[float, float, float, float]


def data_set(source: Path) -> DataSet:
    """Describe the folder ``VOCdevkit`` with ``VOC2007`` and ``VOC2012``."""
    train_2007, train_2012, test_2007 = LISTS
    return DataSet(
        name='voc',
        title='PASCAL VOC 2007 and 2012',
        home='http://host.robots.ox.ac.uk/pascal/VOC/',
        parts=(
            *(
                Part(f'{year}/{folder}', archive, suffix=suffix)
                for year, archive in ARCHIVES.items()
                for folder, suffix in (('JPEGImages', '.jpg'), ('Annotations', '.xml'))
            ),
            *(Part(path, archive) for path, archive in LISTS.items()),
        ),
        splits=(
            Split('train', partial(samples, (train_2007, train_2012)), train_2007, 16_551),
            Split('val', partial(samples, (test_2007,)), test_2007, 4_952),
        ),
        classes=CLASSES,
        format=VocXml(),
    )


def samples(lists: tuple[str, ...], source: Path) -> Iterator[Sample]:
    for path in lists:
        year = path.split('/')[0]
        for name in (source / path).read_text(encoding='utf-8').split():
            label_map = f'{year}/Annotations/{name}.xml'
            sample = Sample(
                f'{year}/JPEGImages/{name}.jpg',
                label_map=label_map,
                label_name=f'{name}.xml',
            )
            sample.boxes, sample.notes = [], []
            annotations = source / label_map
            if annotations.exists():  # Otherwise the check of all files reports it as missing.
                for kind, box in _objects(annotations, ARCHIVES[year]):
                    if kind in CLASSES:
                        sample.boxes.append(Box(*box, CLASSES.index(kind)))
                    else:
                        sample.notes.append(('unknown label', f'{name}.xml: {kind}'))
            yield sample


def _objects(annotations: Path, archive: str) -> list[tuple[str | None, Corners]]:
    try:
        return [
            (thing.findtext('name'), _box(thing))
            for thing in ElementTree.parse(annotations).iterfind('object')
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(
            f'{annotations} is damaged or cut short ({error}); unpack {archive} again'
        ) from error


def _box(thing: ElementTree.Element) -> Corners:
    left, top, right, bottom = (
        float(thing.findtext(f'bndbox/{name}', '')) for name in ('xmin', 'ymin', 'xmax', 'ymax')
    )
    return left - 1, top - 1, right - left + 1, bottom - top + 1
