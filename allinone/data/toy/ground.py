"""Road and pavement."""

import numpy as np

from .canvas import Canvas
from .classes import PAVEMENT, ROAD
from .rng import vary
from .scene import Thing
from .shapes import flat


def ground(rng: np.random.Generator, half: float, walk: float) -> list[Thing]:
    """Pavement and a road of half-width ``half`` with kerbs, markings, patches and shadow."""
    grey, stone = vary(rng, (96, 96, 100), 20), vary(rng, (164, 156, 148), 24)
    joints = np.stack([flat(-half - walk, z, half + walk, z + 0.05) for z in np.arange(2, 26, 1.5)])
    dashes = np.arange(1 + 3 * rng.random(), 60, 5)
    corners = zip(rng.uniform(-half, half - 1, 7), rng.uniform(3, 25, 7), rng.uniform(0.4, 1.5, 7))
    marks = [
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
        stripes = [
            flat(x, crossing, x + 0.5, crossing + 2.6) for x in np.arange(-half + 0.3, half - 0.5)
        ]
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
        if shaded and not canvas.scene.light.lamps:
            canvas.shade(shadow, 0.66)

    return [Thing(2000, pavement, PAVEMENT), Thing(1999, road, ROAD)]
