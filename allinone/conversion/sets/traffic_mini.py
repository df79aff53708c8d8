"""``traffic_mini``: small sets of signs, street scenes and label maps, in Track 1's formats.

``cls`` is from GTSRB's first training archive, ``GTSRB/Training/CLASS/TRACK_FRAME.ppm`` with the
tables that :mod:`.gtsrb` reads (``torchvision.datasets.GTSRB`` loads the same archive). It has
frames 9, 19 and 29 of each of the 888 tracks, in whose 30 frames the sign comes nearer. The first
quarter of each class's tracks is val, so that no track is in both. ``IMAGE.png`` is three times the
index of the track among all, plus 0, 1 or 2. ``SPLIT_tracks.txt`` has lines ``SPLIT/NAME TRACK`` of
each image, for retrieval.

``dec`` is COAD, exported by Roboflow in COCO's format: ``train/_annotations.coco.json`` and
``valid/_annotations.coco.json`` with the images beside them (roboflow/rf-detr,
``docs/learn/train/dataset-formats.md``). The export has an additional category 0, the supercategory
of the others, without boxes (roboflow/roboflow-100-benchmark, issue 45; roboflow/rf-detr, pull
request 1303). Newer exports lack it, so categories are matched by name.

``seg`` is CamVid in SegNet's format as :mod:`.camvid` reads it, with images written as JPEG, which
the base config file reads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby
from os.path import join
from pathlib import Path

from allinone.conversion.data_set import DataSet, Part, Sample, Split
from allinone.conversion.files import replacing
from allinone.conversion.formats import CocoBoxes, ImageListDataset
from allinone.conversion.report import Report
from allinone.conversion.source import check_source

from . import camvid, coco, gtsrb

__all__ = ['BOX_CLASSES', 'data_sets']

SIGNS, SIGN_ARCHIVE = 'GTSRB/Training', 'GTSRB-Training_fixed.zip'
FRAMES = (9, 19, 29)
VAL_SHARE = 4  # 1 / VAL_SHARE of a class's tracks are val
SCENES, SCENE_ARCHIVE = 'COAD', "Roboflow's export of COAD as COCO (in a folder COAD)"
BOX_CLASSES = ('vehicle', 'pedestrian', 'motorcycle', 'obstacle')
STREETS = 'CamVid'
# ``{split: (Roboflow's name, images of signs, images of scenes)}``
PUBLISHED = {'train': ('train', 2001, 368), 'val': ('valid', 663, 35)}


def data_sets(source: Path) -> dict[str, DataSet]:
    """Describe the folder with ``GTSRB``, ``COAD`` and ``CamVid``: data sets by output folder.

    Raises:
        DataError: If a part of any of the three is missing, or the folder is a converted set.
    """
    sets = dict(cls=signs(source), dec=scenes(), seg=streets(source))
    whole = replace(
        sets['cls'],
        title='traffic_mini',
        home='docs/datasets/traffic_mini.md',
        parts=tuple(part for some in sets.values() for part in some.parts),
    )
    # Report all missing parts at once, before any conversion.
    check_source(source, whole, partial=True, folders=tuple(sets))
    return sets


def signs(source: Path) -> DataSet:
    return replace(
        gtsrb.data_set(source),
        name='traffic_mini_cls',
        format=SignLists(),
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


class SignLists(ImageListDataset):
    """Also ``SPLIT_tracks.txt`` with the track of each image, for ``allinone.IdentityDataset``."""

    def files(self, split: str) -> tuple[str, ...]:
        return (*super().files(split), f'{split}_tracks.txt')

    @contextmanager
    def writer(self, out: str, split: str, report: Report, link: str):
        with (
            replacing(join(out, f'{split}_tracks.txt')) as tracks,
            super().writer(out, split, report, link) as lists,
        ):
            yield _TrackWriter(lists, tracks, split)


class _TrackWriter:
    boxes = None

    def __init__(self, lists, tracks, split: str):
        self.lists, self.tracks, self.split, self.labels = lists, tracks, split, lists.labels

    def add(self, sample: Sample, size: tuple[int, int], pixels) -> None:
        self.lists.add(sample, size, pixels)
        track = int(sample.name.split('.')[0]) // len(FRAMES)
        self.tracks.write(f'{self.split}/{sample.name} {track}\n')


def _frame(sample: Sample) -> tuple[str, str]:
    """``(class and track, frame)`` of an image, from its name."""
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
