"""What stands on the pavement: people, trees, lamps and boxes."""

import numpy as np

from .canvas import Canvas, flat, ngon, outline, rect, upright
from .classes import (
    DET_CLASSES,
    HAIR,
    IGNORE,
    LEAVES,
    PAINTS,
    SKINS,
    TREE,
    TROUSERS,
    pick,
    vary,
)
from .scene import Thing

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


def tree(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Broad-leaved tree or conifer of 4 to 8 m."""
    height, leaf = rng.uniform(4, 8), vary(rng, pick(rng, LEAVES), 14)
    conifer = rng.random() < 0.25
    spread = height * rng.uniform(0.2, 0.3)
    at = rng.uniform(-1, 1, (42, 2))
    at = at[np.hypot(*at.T) < 1.1]
    at = at[np.argsort(at[:, 1] + rng.uniform(-0.5, 0.5, len(at)))]
    sizes = rng.uniform(0.2, 0.42, len(at)) * spread
    shades = 0.82 + 0.3 * at[:, 1] + rng.uniform(-0.12, 0.12, len(at))
    at = at * (spread, height * 0.28) + (0, height * 0.68)
    blobs = np.insert(ngon(9) * sizes[:, None, None] + at[:, None], 2, 0, -1) + (x, 0, z)
    shadow = np.insert(ngon(16), 1, 0, -1) * (spread, 0, spread) + (x, 0, z)

    def paint(canvas: Canvas) -> None:
        canvas.shade(shadow, 0.7)
        canvas.fill(upright(rect(-0.14, 0, 0.14, height * 0.6), x, 0, z), (92, 70, 54))
        if conifer:
            for i in range(5):
                top = ngon(3, spread * (1.1 - 0.16 * i), 0, (0, height * (0.32 + 0.14 * i)))
                canvas.fill(upright(top, x, 0, z), leaf * (0.62 + 0.1 * i))
            return
        for blob, shade in zip(blobs, shades):
            canvas.fill(blob, leaf * shade)

    return Thing(z, paint, TREE)


def furniture(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Street lamp or coloured box; none of the classes, so the label map ignores it."""
    colour, tall = vary(rng, pick(rng, PAINTS)), rng.uniform(0.8, 1.4)
    is_lamp, reach = rng.random() < 0.5, -np.sign(x) * rng.uniform(0.8, 1.4)

    def lamp(canvas: Canvas) -> None:
        on = canvas.light.lamps
        canvas.fill(upright(rect(-0.07, 0, 0.07, 5.4), x, 0, z), (84, 88, 92))
        canvas.fill(upright(rect(0, 5.3, reach, 5.42), x, 0, z), (84, 88, 92))
        head = upright(rect(reach - 0.3, 5.16, reach + 0.3, 5.34), x, 0, z)
        canvas.fill(head, (255, 236, 180) if on else (150, 154, 156), glow=float(on))

    def box(canvas: Canvas) -> None:
        canvas.fill(upright(rect(-0.3, 0, 0.3, tall), x, 0, z), colour)
        canvas.fill(upright(rect(-0.34, tall, 0.34, tall + 0.14), x, 0, z), colour * 0.7)

    return Thing(z, lamp if is_lamp else box, IGNORE)
