"""Words of stroke letters."""

import numpy as np

from .shapes import strokes

LETTERS = {  # polylines in a square of side 1
    'S': ((1, 1), (0, 1), (0, 0.5), (1, 0.5), (1, 0), (0, 0)),
    'T': ((0, 1), (1, 1), (0.5, 1), (0.5, 0)),
    'O': ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0)),
    'P': ((0, 0), (0, 1), (1, 1), (1, 0.5), (0, 0.5)),
    '3': ((0, 1), (1, 1), (1, 0.5), (0.2, 0.5), (1, 0.5), (1, 0), (0, 0)),
}
LETTERS |= {'5': LETTERS['S'], '0': LETTERS['O']}


def text(word: str, letter: tuple[float, float], pitch: float, width: float) -> list[np.ndarray]:
    """Word of stroke letters centred on the origin, as (4, 2) rectangles."""
    left = -(pitch * (len(word) - 1) + letter[0]) / 2
    quads = []
    for i, character in enumerate(word):
        points = np.array(LETTERS[character]) * letter + (left + i * pitch, -letter[1] / 2)
        quads += strokes(points, width)
    return quads
