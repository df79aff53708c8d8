"""Pictures of the data sets by number.

Every picture has its own random stream, keyed by seed, data set, split and picture number:
picture n is the same however many pictures are made.
"""

from dataclasses import replace

import numpy as np

from .canvas import OVERSAMPLE, Canvas
from .classes import SIGN_CLASSES
from .painter import Picture, paint
from .sign_designs import SIGNS
from .street import street

DEFAULT_COUNTS = {'cls': (640, 160), 'det': (240, 60), 'seg': (160, 40), 'signs': (160, 40)}
SPLITS = ('train', 'val')
CROP_SIZE = (64, 64)  # width, height in pixels


def make_picture(seed: int, data_set: str, split: str, number: int) -> Picture:
    """Paint picture ``number`` of a split of a data set, whatever the other pictures.

    Args:
        seed: Non-negative seed of all pictures.
        data_set: One of ``DEFAULT_COUNTS``.
        split: One of ``SPLITS``.
        number: From 1.

    Returns:
        The picture; for ``cls`` its class is ``(number - 1) % len(SIGN_CLASSES)``.
    """
    stream = [seed, tuple(DEFAULT_COUNTS).index(data_set), SPLITS.index(split), number]
    rng = np.random.default_rng(stream)
    if data_set == 'cls':
        return sign_crop(rng, SIGN_CLASSES[(number - 1) % len(SIGN_CLASSES)])
    if data_set == 'det' and number % 12 == 5:  # some pictures show no object
        return paint(street(rng, (), 0, False), rng)
    most = 4 if data_set == 'signs' else 3
    designs = rng.choice(tuple(SIGNS), rng.integers(1, most + 1), replace=False)
    if data_set == 'signs':
        return paint(street(rng, designs, int(rng.integers(3)), rng.random() < 0.5), rng)
    return paint(street(rng, designs, int(rng.integers(5)), True), rng)


def sign_crop(rng: np.random.Generator, design: str) -> Picture:
    """Close view of one sign, with whatever stands behind it."""
    scene = street(rng, (design,), int(rng.integers(3)), rng.random() < 0.3)
    target = scene.things[-1]
    scene.things = [thing for thing in scene.things if thing.depth >= target.depth]
    # Painting the sign alone tells where its plate is.
    alone = Canvas(replace(scene, view=replace(scene.view, size=(1, 1))))
    alone.add(target, 1)
    plate = alone.corners[0]
    low, high = plate.min(0) / OVERSAMPLE, plate.max(0) / OVERSAMPLE
    zoom = rng.uniform(24, 56) / (high - low).max()
    middle = np.array(CROP_SIZE) / 2 + rng.uniform(-5, 5, 2)
    centre = middle + (scene.view.centre - (low + high) / 2) * zoom
    scene.view = replace(
        scene.view, size=CROP_SIZE, focal=scene.view.focal * zoom, centre=tuple(centre)
    )
    return paint(scene, rng, tidy=False)
