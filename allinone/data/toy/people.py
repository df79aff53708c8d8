"""People."""

import numpy as np

from .canvas import Canvas
from .classes import DET_CLASSES, IGNORE
from .colors import HAIR, PAINTS, SKINS, TROUSERS
from .rng import pick, vary
from .scene import Thing
from .shapes import flat, ngon, outline, rect, upright

TORSO = outline((-0.19, 0.19, 0.23, 0.1, -0.1, -0.23), (0.8, 0.8, 1.42, 1.5, 1.5, 1.42))
SKIRT = outline((-0.17, 0.17, 0.3, -0.3), (0.95, 0.95, 0.45, 0.45))
BAG = rect(0.14, 0.7, 0.42, 1.02)
HEAD, FACE = ngon(12, 0.145, 0, (0, 1.63)), ngon(10, 0.11, 0, (0.02, 1.6))


def pedestrian(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Walking or standing person of 1.5 to 1.9 m; ignored in the label map."""
    coat, trousers = vary(rng, pick(rng, PAINTS)), vary(rng, pick(rng, TROUSERS), 10) * 0.8
    skin, hair = pick(rng, SKINS), vary(rng, pick(rng, HAIR))
    size, stride = rng.uniform(0.86, 1.08), rng.uniform(0, 0.32)
    swing = rng.uniform(-0.2, 0.2)
    parts = []
    for way in (-1, 1):
        foot, hand = way * stride, way * swing
        leg = outline((0.02, 0.17, 0.15, 0), (0.85, 0.85, 0, 0)) * (way, 1)
        arm = outline((0.16, 0.25, 0.28, 0.19), (1.45, 1.4, 0.82, 0.82)) * (way, 1)
        leg[2:, 0] += foot
        arm[2:, 0] += hand
        parts += [(leg, trousers * (1 + 0.12 * way)), (arm, coat * 0.84)]
    skirt, bag = rng.random() < 0.3, rng.random() < 0.35
    parts += [(SKIRT, coat * 0.9)] if skirt else []
    parts += [(TORSO, coat)]
    parts += [(BAG, trousers * 0.6)] if bag else []
    parts += [(HEAD, hair), (FACE, skin)]

    def paint(canvas: Canvas) -> None:
        canvas.shade(flat(x - 0.4, z - 0.2, x + 0.4, z + 0.2), 0.6)
        for shape, colour in parts:
            canvas.fill(upright(shape * size, x, 0, z), colour)

    return Thing(z, paint, IGNORE, DET_CLASSES.index('pedestrian'))
