"""BDD100K detection, 10 classes, in the revised labels of 2020 or those of 2018.

The labels are in Scalabel's format: a list of frames, or an object with the list ``frames``; each
frame has ``name`` and ``labels``. Labels with ``box2d`` (``x1``, ``y1``, ``x2``, ``y2``) are boxes,
the others lanes and areas (``doc/source/format.rst``). The release of 2018 has one file per image
instead, with ``frames[0].objects`` and a name without ``.jpg``. The order of the classes, their old
names and the crowd classes are from ``bdd100k/configs/det.toml``. The box width is ``x2 - x1 + 1``
in 2020 (``scalabel.label.transforms.box2d_to_bbox``) and ``x2 - x1`` in 2018 (``bdd2coco.py`` of
that time).
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from allinone.conversion.data_set import Box, DataSet, Part, Sample, Split
from allinone.conversion.files import json_elements
from allinone.conversion.formats import CocoBoxes
from allinone.errors import DataError

from .bdd100k import HOME, IMAGES_100K

__all__ = ['CLASSES', 'data_set']

CLASSES = (
    *('pedestrian', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
    *('traffic light', 'traffic sign'),
)
FORMER_NAMES = dict(
    bike='bicycle', caravan='car', motor='motorcycle', person='pedestrian', van='car'
)
CROWDS = {'other person': 'pedestrian', 'other vehicle': 'car', 'trailer': 'truck'}
LABELS = {name: (number, False) for number, name in enumerate(CLASSES)}
LABELS |= {old: LABELS[name] for old, name in FORMER_NAMES.items()}
LABELS |= {crowd: (LABELS[name][0], True) for crowd, name in CROWDS.items()}
# 137 of the 70,000 images for training have no entry.
PUBLISHED = {'train': 69_863, 'val': 10_000}
RELEASES = {
    '2020': ('labels/det_20/det_{split}.json', 'bdd100k_det_20_labels_trainval.zip'),
    '2018': ('labels/bdd100k_labels_images_{split}.json', 'bdd100k_labels_release.zip'),
}
A_FILE_A_IMAGE = 'labels/100k/{split}', 'bdd100k_labels.zip'


def data_set(source: Path, release: str = '2020') -> DataSet:
    """Describe the folder with ``images/100k`` and ``labels`` of a release, 2020 or 2018."""
    labels, archive = RELEASES[release]
    if release == '2018' and not (source / labels.format(split='train')).exists():
        if (source / A_FILE_A_IMAGE[0].format(split='train')).exists():
            labels, archive = A_FILE_A_IMAGE
    elif release == '2020' and not (source / labels.format(split='train')).exists():
        former = (RELEASES['2018'][0], A_FILE_A_IMAGE[0])
        if any((source / other.format(split='train')).exists() for other in former):
            raise DataError(
                f'{source} has the labels of 2018, not those of 2020; unpack {archive} there, or '
                'give --release 2018'
            )
    folder, image_archive = IMAGES_100K
    return DataSet(
        name='bdd100k_det',
        title=f'BDD100K detection ({release})',
        home=HOME,
        parts=(
            *(Part(f'{folder}/{split}', image_archive, suffix='.jpg') for split in PUBLISHED),
            *(Part(labels.format(split=split), archive, suffix='.json') for split in PUBLISHED),
        ),
        splits=tuple(
            Split(
                split,
                partial(
                    samples,
                    labels.format(split=split),
                    f'{folder}/{split}',
                    1 if release == '2020' else 0,
                ),
                labels.format(split=split),
                published,
            )
            for split, published in PUBLISHED.items()
        ),
        classes=CLASSES,
        format=CocoBoxes(),
        options=dict(release=release),
    )


def samples(labels: str, images: str, last_pixel: int, source: Path) -> Iterator[Sample]:
    """Args: paths of labels and images, number added to ``x2 - x1``, the download's folder."""
    for name, objects in _frames(source / labels):
        sample = Sample(f'{images}/{name}')
        sample.boxes, sample.notes = [], []
        for found in objects:
            corners = found.get('box2d')
            if not corners:
                continue
            category = found['category']
            if category not in LABELS:
                sample.notes.append(('unknown label', f'{name}: {category}'))
                continue
            x, y = corners['x1'], corners['y1']
            width, height = corners['x2'] - x + last_pixel, corners['y2'] - y + last_pixel
            label, crowd = LABELS[category]
            crowd = crowd or bool((found.get('attributes') or {}).get('crowd'))
            sample.boxes.append(Box(x, y, width, height, label, crowd))
        yield sample


def _frames(labels: Path) -> Iterator[tuple[str, list[dict]]]:
    """Yield the name and the objects of each image."""
    if labels.is_dir():
        for path in sorted(labels.glob('*.json')):
            try:
                content = json.loads(path.read_bytes())
            except ValueError as error:
                raise ValueError(f'{path.name}: {error}') from error
            yield f'{content["name"]}.jpg', content['frames'][0]['objects']
        return
    for frame in json_elements(labels, 'frames'):
        yield frame['name'], frame.get('labels') or []
