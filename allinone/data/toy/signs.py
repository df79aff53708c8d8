"""Traffic signs: plates of polygons painted in order, with stroke letters, on a pole."""

import numpy as np

from .canvas import Canvas, ngon, outline, rect, strokes, upright
from .classes import BLACK, BLUE, DET_CLASSES, RED, SIGN, WHITE, YELLOW
from .scene import Thing

LETTERS = {  # polylines in a square of side 1
    'S': ((1, 1), (0, 1), (0, 0.5), (1, 0.5), (1, 0), (0, 0)),
    'T': ((0, 1), (1, 1), (0.5, 1), (0.5, 0)),
    'O': ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0)),
    'P': ((0, 0), (0, 1), (1, 1), (1, 0.5), (0, 0.5)),
    '3': ((0, 1), (1, 1), (1, 0.5), (0.2, 0.5), (1, 0.5), (1, 0), (0, 0)),
}
LETTERS |= {'5': LETTERS['S'], '0': LETTERS['O']}
ARROW = outline((0, 0.5, 0.2, 0.2, -0.2, -0.2, -0.5), (0.72, 0.12, 0.12, -0.66, -0.66, 0.12, 0.12))


def text(word: str, letter: tuple[float, float], pitch: float, width: float) -> list[np.ndarray]:
    """Word of stroke letters centred on the origin, as (4, 2) rectangles."""
    left = -(pitch * (len(word) - 1) + letter[0]) / 2
    quads = []
    for i, character in enumerate(word):
        points = np.array(LETTERS[character]) * letter + (left + i * pitch, -letter[1] / 2)
        quads += strokes(points, width)
    return quads


def stop() -> list:
    """Layers of a stop sign."""
    letters = text('STOP', (0.26, 0.56), 0.41, 0.12)
    edge, plate = (ngon(8, 1.06, 22.5), WHITE), (ngon(8, 0.97, 22.5), RED)
    return [edge, plate, *((quad, WHITE) for quad in letters)]


def limit(word: str) -> list:
    """Layers of a speed-limit sign."""
    digits = text(word, (0.34, 0.68), 0.62, 0.17)
    return [(ngon(28), RED), (ngon(28, 0.76), WHITE), *((quad, BLACK) for quad in digits)]


def arrow(turn: float) -> list:
    """Layers of a mandatory sign with an arrow turned clockwise from up, in degrees."""
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    shape = ARROW @ np.array([(c, -s), (s, c)])
    return [(ngon(28), WHITE), (ngon(28, 0.93), BLUE), (shape, WHITE)]


def warning(*glyph: np.ndarray) -> list:
    """Layers of a warning triangle around black glyph polygons."""
    edge, plate = (ngon(3, 1.2, 0, (0, -0.2)), RED), (ngon(3, 0.78, 0, (0, -0.2)), WHITE)
    return [edge, plate, *((shape, BLACK) for shape in glyph)]


BEND = ((-0.15, -0.48), (-0.15, -0.2), (0.15, -0.05), (0.15, 0.25))
SIGNS = {  # layers of (polygon in plate units, colour)
    'stop': stop(),
    'yield': [(ngon(3, 1.2, 180, (0, 0.2)), RED), (ngon(3, 0.72, 180, (0, 0.2)), WHITE)],
    'limit_30': limit('30'),
    'limit_50': limit('50'),
    'priority': [(ngon(4, 1.15), WHITE), (ngon(4, 0.82), YELLOW)],
    'no_entry': [
        (ngon(28), WHITE),
        (ngon(28, 0.94), RED),
        (rect(-0.68, -0.18, 0.68, 0.18), WHITE),
    ],
    'turn_left': arrow(-90),
    'turn_right': arrow(90),
    'ahead': arrow(0),
    'danger': warning(rect(-0.09, -0.22, 0.09, 0.32), rect(-0.09, -0.5, 0.09, -0.33)),
    'bend': warning(*strokes(BEND, 0.17)),
    'crossroads': warning(
        *strokes(((-0.28, -0.5), (0.28, 0.1)), 0.16), *strokes(((0.28, -0.5), (-0.28, 0.1)), 0.16)
    ),
}


def sign(rng: np.random.Generator, x: float, z: float, design: str) -> Thing:
    """Traffic sign on a pole: plate of about 1.1 m across, slightly turned and faded."""
    size, height = rng.uniform(0.5, 0.62), rng.uniform(2.0, 2.9)
    yaw, roll = np.deg2rad(rng.uniform(-28, 28)), np.deg2rad(rng.uniform(-10, 10))
    right = (np.cos(roll) * np.cos(yaw), np.sin(roll), np.sin(yaw) * np.cos(roll))
    up = (-np.sin(roll) * np.cos(yaw), np.cos(roll), -np.sin(roll) * np.sin(yaw))
    axes = np.array([right, up])
    fade, glow = rng.uniform(0.78, 1.05), rng.uniform(0.35, 0.7)

    def paint(canvas: Canvas) -> None:
        pole = upright(rect(-0.06, 0, 0.06, height), x, 0, z + 0.02)
        canvas.fill(pole, (128, 130, 134), owned=False)
        for i, (polygon, colour) in enumerate(SIGNS[design]):
            plate = polygon @ axes * size + (x, height, z)
            canvas.fill(plate, np.array(colour) * fade, glow, detail=i > 0)

    return Thing(z, paint, SIGN, DET_CLASSES.index('sign'), design)
