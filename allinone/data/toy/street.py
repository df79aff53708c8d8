"""Random streets."""

from collections.abc import Sequence

import numpy as np

from .ground import ground
from .horizon import clouds, skyline
from .houses import building
from .people import pedestrian
from .rng import pick
from .roadside import furniture, tree
from .scene import LIGHTS, Scene, Thing, View
from .signs import sign
from .traffic import traffic

SCENE_SIZE = (256, 192)  # width, height in pixels


def street(rng: np.random.Generator, signs: Sequence[str], people: int, cars: bool) -> Scene:
    """Random street with the given signs, a number of people and perhaps vehicles."""
    half, walk = rng.uniform(3.2, 4.8), rng.uniform(2.2, 4.2)
    scene = Scene(_view(rng, half), pick(rng, LIGHTS), rng.uniform(60, 260))
    scene.things += [clouds(rng), *ground(rng, half, walk), *skyline(rng)]
    scene.things += [house for side in (-1, 1) for house in _houses(rng, side, half + walk)]
    for make, most, low, high in ((tree, 6, 8, 40), (furniture, 5, 7, 25)):
        for _ in range(rng.integers(most)):
            x = half + rng.uniform(0.8, walk)
            scene.things.append(make(rng, *_beside_road(rng, scene.view, x, low, high)))
    if cars:
        scene.things += traffic(rng, half)
    for _ in range(people):
        x, z = _beside_road(rng, scene.view, half + rng.uniform(0.4, 2), 6, 14)
        if rng.random() < 0.15:
            x = rng.uniform(-half, half)
        scene.things.append(pedestrian(rng, x, z))
    for i, design in enumerate(signs):
        x = half + rng.uniform(0.3, 1)
        place = _beside_road(rng, scene.view, x, 5, 12.5, side=(-1, 1)[i % 2])
        scene.things.append(sign(rng, *place, design))
    return scene


def _view(rng: np.random.Generator, half: float) -> View:
    """Camera at the height of a driver or a little above, somewhere on the road."""
    width, height = SCENE_SIZE
    eye = np.array((rng.uniform(-0.4, 0.7) * half, rng.uniform(1.5, 2.4), 0.0))
    focal = rng.uniform(205, 255)
    centre = (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.42, 0.54))
    return View(SCENE_SIZE, focal, centre, eye)


def _houses(rng: np.random.Generator, side: int, inner: float) -> list[Thing]:
    """Houses with gaps on one side of the street, ``inner`` metres or more from its middle."""
    things = []
    z = rng.uniform(2, 5)
    while z < 60:
        depth = rng.uniform(6, 15)
        if rng.random() < 0.85:
            things.append(building(rng, side, inner + rng.uniform(0, 1), z, z + depth))
        z += depth + (rng.random() < 0.3) * rng.uniform(2, 7)
    return things


def _beside_road(
    rng: np.random.Generator, view: View, away: float, low: float, high: float, side: int = 0
) -> tuple[float, float]:
    """Place x, z that the camera can see, ``low`` to ``high`` metres off where that is possible.

    Args:
        rng: Random numbers.
        view: The camera.
        away: Metres from the middle of the road.
        low: Smallest z.
        high: Largest z.
        side: -1 or 1 where one is preferred; it is changed where only the other can be seen.
    """
    side = side or pick(rng, (-1, 1))

    def nearest(way: int) -> float:
        """Smallest z that is in the picture, 10 pixels from its edge."""
        middle = view.size[0] / 2
        reach = middle + way * (middle - view.centre[0]) - 10
        return abs(way * away - view.eye[0]) * view.focal / reach

    if nearest(side) > high > nearest(-side):
        side = -side
    near = nearest(side)
    return side * away, rng.uniform(max(low, near), max(high, near + 0.5))
