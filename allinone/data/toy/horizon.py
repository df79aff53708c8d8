"""What closes a scene at the back: clouds and a skyline."""

import numpy as np

from .canvas import Canvas
from .classes import BUILDING, SKY, TREE
from .colors import LEAVES, WALLS
from .rng import pick, vary
from .scene import Thing
from .shapes import ngon, rect, upright


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
    return [_far_wall(rng, x) for x in np.arange(-110, 110, 14)]


def _far_wall(rng: np.random.Generator, x: float) -> Thing:
    """House or hedge whose left corner is at ``x``."""
    hedge = rng.random() < 0.3
    height, width = rng.uniform(4, 8) if hedge else rng.uniform(7, 30), rng.uniform(12, 18)
    colour = vary(rng, pick(rng, LEAVES if hedge else WALLS))
    wall = upright(rect(0, 0, width, height), x, 0, 92)
    return Thing(
        1900 + rng.random(), lambda canvas: canvas.fill(wall, colour), TREE if hedge else BUILDING
    )
