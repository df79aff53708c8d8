"""Tsinghua-Tencent 100K (Zhu et al., CVPR 2016): traffic signs in 2048 x 2048 street views.

``annotations.json`` (release 2016) or ``annotations_all.json`` (2021) is an object with ``types``
and ``imgs``, which maps each id to ``path`` (``train/10056.jpg``) and ``objects`` with ``category``
and ``bbox`` (``xmin``, ``ymin``, ``xmax``, ``ymax``); ``train/ids.txt`` and ``test/ids.txt`` list
the splits' ids (the set's tutorial and its ``anno_func.py``, whose ``type45`` are the classes here:
those with 100 signs or more in the release of 2016, which the paper and Track 1 evaluate).
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import Box, DataSet, Part, Sample, Split
from allinone.conversion.formats import CocoBoxes

__all__ = ['CLASSES', 'data_set']

CLASSES = tuple(
    'i2 i4 i5 il100 il60 il80 io ip p10 p11 p12 p19 p23 p26 p27 p3 p5 p6 pg ph4 ph4.5 ph5 pl100 '
    'pl120 pl20 pl30 pl40 pl5 pl50 pl60 pl70 pl80 pm20 pm30 pm55 pn pne po pr40 w13 w32 w55 w57 '
    'w59 wo'.split()
)
RELEASES = {
    2016: ('annotations.json', 'data.zip'),
    2021: ('annotations_all.json', 'tt100k_2021.zip'),
}
# Of both releases, as counted in SUMMARY.md of dataset-ninja/tt100k-2016 and tt100k-2021
TRAIN, TEST = 6105, 3071


def data_set(source: Path) -> DataSet:
    """Describe the folder with ``train``, ``test`` and the annotations of either release."""
    release = 2021 if (source / 'annotations_all.json').exists() else 2016
    annotations, archive = RELEASES[release]
    return DataSet(
        name='tt100k',
        title=f'TT100K ({release})',
        home='https://cg.cs.tsinghua.edu.cn/traffic-sign/',
        parts=(
            Part(annotations, archive),
            *(Part(f'{folder}/ids.txt', archive) for folder in ('train', 'test')),
            *(Part(folder, archive, suffix='.jpg') for folder in ('train', 'test')),
        ),
        splits=(
            Split('train', partial(samples, annotations, 'train'), annotations, TRAIN),
            Split('val', partial(samples, annotations, 'test'), annotations, TEST),
        ),
        classes=CLASSES,
        format=CocoBoxes(),
    )


def samples(annotations: str, folder: str, source: Path) -> Iterator[Sample]:
    numbers = {name: number for number, name in enumerate(CLASSES)}
    images = json.loads((source / annotations).read_bytes())['imgs']
    for key in (source / folder / 'ids.txt').read_text(encoding='utf-8').split():
        sample = Sample(images[key]['path'])
        sample.boxes, sample.notes = [], []
        for sign in images[key]['objects']:
            if sign['category'] in numbers:
                sample.boxes.append(_box(sign['bbox'], numbers[sign['category']]))
            else:
                sample.notes.append(('box of another class', sign['category']))
        yield sample


def _box(corners: dict, label: int) -> Box:
    left, top = corners['xmin'], corners['ymin']
    return Box(left, top, corners['xmax'] - left, corners['ymax'] - top, label)
