"""Pictures of the data sets by number.

Every picture has its own random stream, keyed by seed, data set, split and picture number:
picture n is the same however many pictures are made.
"""

from dataclasses import replace

import numpy as np

from .classes import DET_CLASSES, SCENE_CLASSES
from .painter import Picture, paint
from .scene import CLOUDY, DAY, DUSK, NIGHT
from .sign_designs import SIGNS
from .street import street

DEFAULT_COUNTS = {'cls': (320, 80), 'det': (240, 60), 'seg': (160, 40), 'signs': (160, 40)}
SPLITS = ('train', 'val')
TAGGED_SIZE = (128, 96)  # width, height in pixels: half of SCENE_SIZE


def make_picture(seed: int, data_set: str, split: str, number: int) -> Picture:
    """Paint picture ``number`` of a split of a data set, whatever the other pictures.

    Args:
        seed: Non-negative seed of all pictures.
        data_set: One of ``DEFAULT_COUNTS``.
        split: One of ``SPLITS``.
        number: From 1.

    Returns:
        The picture; for ``cls`` its class is ``(number - 1) % len(SCENE_CLASSES)``.
    """
    stream = [seed, tuple(DEFAULT_COUNTS).index(data_set), SPLITS.index(split), number]
    rng = np.random.default_rng(stream)
    if data_set == 'cls':
        return tagged_scene(rng, (number - 1) % len(SCENE_CLASSES))
    if data_set == 'det' and number % 12 == 5:  # some pictures show no object
        return paint(street(rng, (), 0, False), rng)
    most = 4 if data_set == 'signs' else 3
    designs = rng.choice(tuple(SIGNS), rng.integers(1, most + 1), replace=False)
    if data_set == 'signs':
        return paint(street(rng, designs, int(rng.integers(3)), rng.random() < 0.5), rng)
    return paint(street(rng, designs, int(rng.integers(5)), True), rng)


def tagged_scene(rng: np.random.Generator, label: int) -> Picture:
    """Small picture of a street for one of ``SCENE_CLASSES``: its light, and quiet or busy.

    A quiet street has neither vehicles nor people, a busy one shows a vehicle at least.
    """
    light, busy = (DAY, CLOUDY, DUSK, NIGHT)[label // 2], bool(label % 2)
    while True:
        designs = rng.choice(tuple(SIGNS), rng.integers(3), replace=False)
        scene = street(rng, designs, int(rng.integers(1, 4)) if busy else 0, busy)
        scene.light = light
        scene.view = replace(
            scene.view,
            size=TAGGED_SIZE,
            focal=scene.view.focal / 2,
            centre=tuple(np.array(scene.view.centre) / 2),
        )
        picture = paint(scene, rng)
        shown = {thing.det for thing in picture.objects.values()}
        if not busy or DET_CLASSES.index('vehicle') in shown:
            return picture
