"""Random streets: where things stand, the ground, the houses and the horizon."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .canvas import LIGHTS, Canvas, View, flat, ngon, rect, upright
from .classes import BUILDING, LEAVES, PAINTS, PAVEMENT, ROAD, SKY, TREE, WALLS, pick, vary
from .roadside import furniture, pedestrian, tree
from .scene import Scene, Thing
from .signs import sign
from .vehicles import traffic

SCENE_SIZE = (256, 192)  # width, height in pixels
TAGGED_SIZE = (128, 96)  # of images for classification: half of SCENE_SIZE
MAX_COLUMNS = 16  # of windows


def street(rng: np.random.Generator, signs: Iterable[str], people: int, cars: bool) -> Scene:
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
        """Smallest z that is in the image, 10 pixels from its edge."""
        middle = view.size[0] / 2
        reach = middle + way * (middle - view.centre[0]) - 10
        return abs(way * away - view.eye[0]) * view.focal / reach

    if nearest(side) > high > nearest(-side):
        side = -side
    near = nearest(side)
    return side * away, rng.uniform(max(low, near), max(high, near + 0.5))


def ground(rng: np.random.Generator, half: float, walk: float) -> list[Thing]:
    """Pavement and a road of half-width ``half`` with kerbs, markings, patches and shadow."""
    grey, stone = vary(rng, (96, 96, 100), 20), vary(rng, (164, 156, 148), 24)
    rows = np.arange(2, 26, 1.5).tolist()
    joints = np.stack([flat(-half - walk, z, half + walk, z + 0.05) for z in rows])
    dashes = np.arange(1 + 3 * rng.random(), 60, 5).tolist()
    corners = zip(rng.uniform(-half, half - 1, 7), rng.uniform(3, 25, 7), rng.uniform(0.4, 1.5, 7))
    marks: list[tuple[np.ndarray, np.ndarray | tuple[int, int, int]]] = [
        (flat(x, z, min(x + width, half), z + width * 1.5), vary(rng, grey, 10))
        for x, z, width in corners
    ]
    marks.append((np.stack([flat(-0.07, z, 0.07, z + 2) for z in dashes]), (226, 226, 220)))
    crossing, edge, sun = rng.uniform(7, 14), rng.random() < 0.5, rng.uniform(-1.2, 1.2) * half
    shaded, zebra = rng.random() < 0.45, rng.random() < 0.35
    for side in (-1, 1):
        marks.append((flat(side * half, 1, side * (half + 0.18), 100), stone * 1.15))
        if edge:
            line = flat(side * (half - 0.4), 1, side * (half - 0.28), 100)
            marks.append((line, (222, 220, 210)))
    if zebra:
        lefts = np.arange(-half + 0.3, half - 0.5).tolist()
        stripes = [flat(x, crossing, x + 0.5, crossing + 2.6) for x in lefts]
        marks.append((np.stack(stripes), (230, 230, 226)))
    far = 60 * np.sign(sun)
    shadow = np.array([(sun, 0, 1), (sun, 0, 100), (far, 0, 100), (far, 0, 1)])

    def pavement(canvas: Canvas) -> None:
        canvas.fill(flat(-150, 1, 150, 100), stone)
        canvas.fill(joints, stone * 0.86, detail=True)

    def road(canvas: Canvas) -> None:
        canvas.fill(flat(-half, 1, half, 100), grey)
        for polygons, colour in marks:
            canvas.fill(polygons, colour, detail=True)
        if shaded and not canvas.light.lamps:
            canvas.shade(shadow, 0.66)

    return [Thing(2000, pavement, PAVEMENT), Thing(1999, road, ROAD)]


@dataclass
class Facade:
    """Look of a house's walls; lengths in metres."""

    height: float
    colour: np.ndarray
    pitch: float  # from window to window
    lit: np.ndarray  # (floors, MAX_COLUMNS) bool: windows behind which somebody is at home
    shop: bool  # instead of the lowest windows
    awning: np.ndarray  # colour
    trim: float  # brightness of the edge of the roof
    pane: np.ndarray  # (4, 2) window in a cell of width and height 1

    def paint(self, canvas: Canvas, origin, along, length: float, shade: float) -> None:
        """Paint one wall.

        Args:
            canvas: Where to paint.
            origin: Lower corner of the wall, (3,) metres.
            along: Horizontal unit vector in the wall, (3,).
            length: Of the wall in metres.
            shade: Factor of the wall's brightness.
        """

        def on_wall(shape: np.ndarray) -> np.ndarray:
            return origin + shape[..., :1] * along + shape[..., 1:] * (0, 1, 0)

        colour = self.colour * shade
        if not canvas.fill(on_wall(rect(0, 0, length, self.height)), colour):
            return
        edge = on_wall(rect(0, self.height - 0.5, length, self.height))
        canvas.fill(edge, colour * self.trim, detail=True)
        columns = min(max(int(length / self.pitch), 1), MAX_COLUMNS)
        cell = np.array((length / columns, self.height / len(self.lit)))
        lit = self.lit[int(self.shop) :, :columns]
        for at_home in (False, True):
            rows, places = np.nonzero(lit == at_home)
            panes = (np.stack([places, rows + int(self.shop)], 1)[:, None] + self.pane) * cell
            if not len(panes):
                continue
            if at_home and canvas.light.lamps:
                canvas.fill(on_wall(panes), (250, 206, 120), glow=0.9, detail=True)
            else:
                glass = np.array((70, 86, 104)) + 40 * at_home
                canvas.fill(on_wall(panes), glass * shade, detail=True)
        if self.shop:
            canvas.fill(on_wall(rect(0.4, 0.3, length - 0.4, 2.3)), (60, 66, 72), detail=True)
            awning = on_wall(rect(0.2, 2.3, length - 0.2, 3.0))
            canvas.fill(awning, self.awning * shade, detail=True)


def building(rng: np.random.Generator, side: int, inner: float, z0: float, z1: float) -> Thing:
    """House along the street from z0 to z1 with its wall at ``side * inner`` metres."""
    height, wall = rng.uniform(6, 22), vary(rng, pick(rng, WALLS), 24)
    pitch = rng.uniform(2.0, 3.2)
    lit = rng.random((max(int(height / 3.1), 2), MAX_COLUMNS)) < 0.3
    shop, awning = rng.random() < 0.6, vary(rng, pick(rng, PAINTS), 12)
    trim, sunny = rng.uniform(0.7, 1.2), rng.uniform(0.7, 1)
    wide, tall = rng.uniform(0.2, 0.3), rng.uniform(0.45, 0.7)
    pane = rect(0.5 - wide, 0.25, 0.5 + wide, 0.25 + tall)
    facade = Facade(height, wall, pitch, lit, shop, awning, trim, pane)
    corner = (side * inner, 0, z0)
    front, flank = (1.0, sunny) if side > 0 else (sunny, 1.0)

    def paint(canvas: Canvas) -> None:
        facade.paint(canvas, corner, np.array([side, 0, 0]), 12.0, front)
        facade.paint(canvas, corner, np.array([0, 0, 1]), z1 - z0, flank)

    return Thing(1000 + z0, paint, BUILDING)


def clouds(rng: np.random.Generator) -> Thing:
    """Clouds, far behind everything."""
    puffs = []
    for x, y in zip(rng.uniform(-180, 180, 3), rng.uniform(40, 150, 3)):
        for _ in range(4):
            puff = ngon(14) * (rng.uniform(14, 40), rng.uniform(4, 9))
            puffs.append(upright(puff, x + rng.uniform(-40, 40), y + rng.uniform(-5, 5), 300))

    def paint(canvas: Canvas) -> None:
        for puff in puffs:
            canvas.fill(puff, (255, 255, 255), detail=True)

    return Thing(5000, paint, SKY)


def skyline(rng: np.random.Generator) -> list[Thing]:
    """Far houses and hedges that close the street."""
    return [_far_wall(rng, x) for x in range(-110, 110, 14)]


def _far_wall(rng: np.random.Generator, x: float) -> Thing:
    """House or hedge whose left corner is at ``x``."""
    hedge = rng.random() < 0.3
    height, width = rng.uniform(4, 8) if hedge else rng.uniform(7, 30), rng.uniform(12, 18)
    colour = vary(rng, pick(rng, LEAVES if hedge else WALLS))
    wall = upright(rect(0, 0, width, height), x, 0, 92)
    return Thing(
        1900 + rng.random(), lambda canvas: canvas.fill(wall, colour), TREE if hedge else BUILDING
    )
