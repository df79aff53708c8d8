"""``traffic_mini``: small sets of signs, street scenes and label maps, in the forms of Track 1.

``cls`` is of GTSRB's first training archive, ``GTSRB/Training/CLASS/TRACK_FRAME.ppm`` with the
tables that :mod:`.gtsrb` reads (``torchvision.datasets.GTSRB`` loads the same archive): of each of
its 888 tracks, of 30 frames while the sign comes nearer, the frames 9, 19 and 29. The first quarter
of each class's tracks is val, so that no track is in both. ``IMAGE.png`` is three times the
number of the track among all, and 0, 1 or 2.

``dec`` is of COAD, exported by Roboflow in COCO's format: ``train/_annotations.coco.json`` and
``valid/_annotations.coco.json`` with the images beside them (roboflow/rf-detr,
``docs/learn/train/dataset-formats.md``). The export has one category more than classes, number 0,
the supercategory of the others, without boxes (roboflow/roboflow-100-benchmark, issue 45;
roboflow/rf-detr, pull request 1303), and newer ones lack it: categories go by their names here.

``seg`` is CamVid in SegNet's form as :mod:`.camvid` reads it, with images written as JPEG, since
the base file reads these.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.formats import CocoBoxes
from allinone.conversion.source import check_source

from . import camvid, coco, gtsrb

__all__ = ['BOX_CLASSES', 'data_sets']

SIGNS, SIGN_ARCHIVE = 'GTSRB/Training', 'GTSRB-Training_fixed.zip'
FRAMES = (9, 19, 29)
VAL_SHARE = 4  # One track of so many
SCENES, SCENE_ARCHIVE = 'COAD', "Roboflow's export of COAD as COCO (in a folder COAD)"
BOX_CLASSES = ('vehicle', 'pedestrian', 'motorcycle', 'obstacle')
STREETS = 'CamVid'
# Split: of Roboflow's name, images of signs, of scenes
PUBLISHED = {'train': ('train', 2001, 368), 'val': ('valid', 663, 35)}


def data_sets(source: Path) -> dict[str, DataSet]:
    """What the folder with ``GTSRB``, ``COAD`` and ``CamVid`` holds, by the folder it becomes.

    Raises:
        DataError: If any part of the three is missing, or the folder is a converted one.
    """
    sets = dict(cls=signs(source), dec=scenes(), seg=streets(source))
    whole = replace(
        sets['cls'],
        title='traffic_mini',
        home='docs/datasets/traffic_mini.md',
        parts=tuple(part for some in sets.values() for part in some.parts),
    )
    # All that is missing is reported at once, before anything is converted.
    check_source(source, whole, partial=True, folders=tuple(sets))
    return sets


def signs(source: Path) -> DataSet:
    return replace(
        gtsrb.data_set(source),
        name='traffic_mini_cls',
        title='GTSRB (first training archive)',
        parts=(Part(SIGNS, SIGN_ARCHIVE, suffix='.ppm'),),
        splits=tuple(
            Split(split, partial(sign_samples, split), SIGNS, published)
            for split, (_, published, _) in PUBLISHED.items()
        ),
    )


def scenes() -> DataSet:
    annotations = {
        split: f'{SCENES}/{theirs}/_annotations.coco.json'
        for split, (theirs, _, _) in PUBLISHED.items()
    }
    return DataSet(
        name='traffic_mini_det',
        title='COAD (Roboflow)',
        home='https://universe.roboflow.com',
        parts=tuple(
            part
            for split, (theirs, _, _) in PUBLISHED.items()
            for part in (
                Part(annotations[split], SCENE_ARCHIVE),
                Part(f'{SCENES}/{theirs}', SCENE_ARCHIVE, suffix='.jpg'),
            )
        ),
        splits=tuple(
            Split(split, partial(scene_samples, split), annotations[split], published)
            for split, (_, _, published) in PUBLISHED.items()
        ),
        classes=BOX_CLASSES,
        format=CocoBoxes(),
    )


def streets(source: Path) -> DataSet:
    whole = camvid.data_set(source)
    return replace(
        whole,
        name='traffic_mini_seg',
        parts=tuple(replace(part, path=f'{STREETS}/{part.path}') for part in whole.parts),
        splits=tuple(
            replace(
                split,
                samples=partial(street_samples, split.name),
                annotations=f'{STREETS}/{split.annotations}',
            )
            for split in whole.splits
        ),
    )


def sign_samples(split: str, source: Path) -> Iterator[Sample]:
    first = 0
    for _, images in groupby(gtsrb.train(SIGNS, source), lambda sample: sample.label):
        tracks = [[*track] for _, track in groupby(images, lambda sample: _frame(sample)[0])]
        held_out = max(1, round(len(tracks) / VAL_SHARE))
        for number, track in enumerate(tracks):
            if (number < held_out) == (split == 'val'):
                for sample in track:
                    frame = int(_frame(sample)[1])
                    if frame in FRAMES:
                        place = (first + number) * len(FRAMES) + FRAMES.index(frame)
                        yield Sample(sample.image, sample.label, name=f'{place:05}.png')
        first += len(tracks)


def _frame(sample: Sample) -> tuple[str, str]:
    """Class and track, and the frame of it."""
    track, _, frame = sample.name.rsplit('.', 1)[0].rpartition('_')
    return track, frame


def scene_samples(split: str, source: Path) -> Iterator[Sample]:
    folder = f'{SCENES}/{PUBLISHED[split][0]}'
    found = coco.samples(f'{folder}/_annotations.coco.json', folder, BOX_CLASSES, source)
    for number, sample in enumerate(found):
        sample.name = f'{split}_{number:04}.jpg'
        yield sample


def street_samples(split: str, source: Path) -> Iterator[Sample]:
    for sample in camvid.samples(f'{STREETS}/{split}', source):
        sample.name = sample.name.rsplit('.', 1)[0] + '.jpg'
        yield sample
