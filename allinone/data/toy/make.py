"""Small data sets of painted street scenes, in the formats of the suite.

Every image has its own random stream, keyed by seed, data set, split and number: image n is the
same however many images are made.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from allinone.io.renames import renamed_arguments

from .canvas import CLOUDY, DAY, DUSK, NIGHT, View
from .classes import (
    DET_CLASSES,
    DRIVABLE_CLASSES,
    IGNORE,
    KIND_OF_SIGN,
    SCENE_CLASSES,
    SEG_CLASSES,
    SEG_PALETTE,
    SIGN_KINDS,
)
from .formats import FORMATS, labels_of_street, readme
from .roadside import pedestrian
from .scene import MIN_SIDE, MIN_VISIBLE, Scene, SceneImage, paint
from .signs import SIGNS
from .street import SCENE_SIZE, TAGGED_SIZE, street
from .vehicles import BUS, vehicle

__all__ = [
    'BUS',
    'TAGGED_SIZE',
    'DAY',
    'DEFAULT_COUNTS',
    'DET_CLASSES',
    'DRIVABLE_CLASSES',
    'GENERATOR_VERSION',
    'IGNORE',
    'KIND_OF_SIGN',
    'MAX_IMAGES',
    'MIN_SIDE',
    'MIN_VISIBLE',
    'SCENE_SIZE',
    'SEG_CLASSES',
    'SEG_PALETTE',
    'SCENE_CLASSES',
    'SIGN_KINDS',
    'SPLITS',
    'SceneImage',
    'Scene',
    'View',
    'make_image',
    'labels_of_street',
    'make_toy_data',
    'paint',
    'pedestrian',
    'vehicle',
]

GENERATOR_VERSION = 3
MAX_IMAGES = 10_000
DEFAULT_COUNTS = {
    'cls': (320, 80),
    'det': (240, 60),
    'seg': (160, 40),
    'signs': (160, 40),
    'street': (160, 40),
}
SPLITS = ('train', 'val')


@renamed_arguments(pictures='images')
def make_toy_data(
    out: str | Path, seed: int = 0, images: int | None = None, progress: bool = False
) -> Path:
    """Paint the toy data sets of ``DEFAULT_COUNTS`` into a new folder.

    Everything is written to a temporary folder beside ``out`` that is renamed at the end, so
    ``out`` is either complete or absent. The same data is not painted again.

    Args:
        out: Folder to make; missing parents are made as well.
        seed: Non-negative seed of all images.
        images: Images in each train split, 1 to ``MAX_IMAGES``; each val split gets a
            quarter, 8 at least. None takes ``DEFAULT_COUNTS``.
        progress: Print a line for each split.

    Returns:
        The folder.

    Raises:
        FileExistsError: ``out`` holds something other than this data.
        ValueError: ``seed`` or ``images`` is out of range.
    """
    if seed < 0:
        raise ValueError(f'seed must be 0 or more, not {seed}')
    if images is not None and not 1 <= images <= MAX_IMAGES:
        raise ValueError(f'images must be 1 to {MAX_IMAGES}, not {images}')
    out = Path(out)
    recipe = {'generator': GENERATOR_VERSION, 'seed': seed, 'images': images}
    if _already_made(out, recipe):
        print(f'{out} already holds this toy data; nothing to do.')
        return out
    counts = DEFAULT_COUNTS
    if images is not None:
        counts = dict.fromkeys(DEFAULT_COUNTS, (images, max(8, images // 4)))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}-') as beside:
        root = Path(beside) / out.name
        for name in counts:
            for split, count in zip(SPLITS, counts[name]):
                _write_split(root, seed, name, split, count)
                if progress:
                    print(f'{name}/{split}: {count} images', flush=True)
        (root / 'README.md').write_text(readme(recipe, counts), encoding='utf-8')
        (root / 'toy.json').write_text(json.dumps(recipe | {'counts': counts}), encoding='utf-8')
        if out.is_dir():
            out.rmdir()  # empty; some systems do not rename onto a folder
        root.rename(out)
    return out


def _write_split(root: Path, seed: int, data_set: str, split: str, count: int) -> None:
    """Paint one split of a data set and write its files below ``root``."""
    images = (make_image(seed, data_set, split, number) for number in range(1, count + 1))
    for name, content in FORMATS[data_set].files(split, images):
        path = root / data_set / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding='utf-8')
        else:
            _write_image(path, content)


def _write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB (H, W, 3) or label (H, W) uint8 image in the format of the suffix."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    done, data = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise OSError(f'OpenCV could not encode {path.name}')
    path.write_bytes(data.tobytes())


def _already_made(out: Path, recipe: dict) -> bool:
    """Whether ``out`` holds this very data; raises FileExistsError if it holds anything else."""
    if not out.exists() or out.is_dir() and not any(out.iterdir()):
        return False
    try:
        found = json.loads((out / 'toy.json').read_text(encoding='utf-8'))
        if 'pictures' in found:  # made before release 0.2
            found['images'] = found['pictures']
        found = {key: found[key] for key in recipe}
    except (OSError, ValueError, KeyError, TypeError):
        found = 'something that is no toy data'
    if found == recipe:
        return True
    raise FileExistsError(
        f'{out} already exists and holds {found}, but {recipe} was asked for. '
        'Choose another folder, or remove this one first.'
    )


def make_image(seed: int, data_set: str, split: str, number: int) -> SceneImage:
    """Paint image ``number`` of a split of a data set, whatever the other images.

    Args:
        seed: Non-negative seed of all images.
        data_set: One of ``DEFAULT_COUNTS``.
        split: One of ``SPLITS``.
        number: From 1.

    Returns:
        The image with its labels; for ``cls`` and ``street`` its class is
        ``(number - 1) % len(SCENE_CLASSES)``.
    """
    stream = [seed, tuple(DEFAULT_COUNTS).index(data_set), SPLITS.index(split), number]
    rng = np.random.default_rng(stream)
    if data_set in ('cls', 'street'):
        return _tagged_scene(rng, (number - 1) % len(SCENE_CLASSES), data_set == 'cls')
    if data_set == 'det' and number % 12 == 5:  # some images show no object
        return paint(street(rng, (), 0, False), rng)
    most = 4 if data_set == 'signs' else 3
    designs = rng.choice(tuple(SIGNS), rng.integers(1, most + 1), replace=False)
    if data_set == 'signs':
        return paint(street(rng, designs, int(rng.integers(3)), rng.random() < 0.5), rng)
    return paint(street(rng, designs, int(rng.integers(5)), True), rng)


def _tagged_scene(rng: np.random.Generator, label: int, small: bool) -> SceneImage:
    """Image of a street for one of ``SCENE_CLASSES``: its light, and quiet or busy.

    A quiet street has neither vehicles nor people, a busy one shows a vehicle at least.
    """
    light, busy = (DAY, CLOUDY, DUSK, NIGHT)[label // 2], bool(label % 2)
    while True:
        designs = rng.choice(tuple(SIGNS), rng.integers(3), replace=False)
        scene = street(rng, designs, int(rng.integers(1, 4)) if busy else 0, busy)
        scene.light = light
        if small:
            scene.view = replace(
                scene.view,
                size=TAGGED_SIZE,
                focal=scene.view.focal / 2,
                centre=tuple(np.array(scene.view.centre) / 2),
            )
        painted = paint(scene, rng)
        shown = {thing.det for thing in painted.objects.values()}
        if not busy or DET_CLASSES.index('vehicle') in shown:
            return painted
