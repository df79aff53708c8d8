"""Classes of the toy data sets, colours (RGB) of painted things, and random choices of these."""

from collections.abc import Sequence

import numpy as np

SCENE_CLASSES = (
    'day_quiet',
    'day_busy',
    'overcast_quiet',
    'overcast_busy',
    'dusk_quiet',
    'dusk_busy',
    'night_quiet',
    'night_busy',
)
DET_CLASSES = ('vehicle', 'pedestrian', 'sign')
SEG_CLASSES = ('sky', 'building', 'road', 'pavement', 'tree', 'vehicle', 'sign')
SEG_PALETTE = (
    (70, 130, 180),
    (70, 70, 70),
    (128, 64, 128),
    (244, 35, 232),
    (107, 142, 35),
    (0, 0, 142),
    (220, 220, 0),
)
SKY, BUILDING, ROAD, PAVEMENT, TREE, VEHICLE, SIGN = range(len(SEG_CLASSES))
IGNORE = 255  # in label maps
DRIVABLE_CLASSES = ('other', 'road')

SIGN_KINDS = ('prohibition', 'warning', 'mandatory')
_DESIGNS_OF_KINDS = (
    ('limit_30', 'limit_50', 'no_entry'),
    ('danger', 'bend', 'crossroads'),
    ('turn_left', 'turn_right', 'ahead'),
)
KIND_OF_SIGN = {
    design: kind for kind, designs in enumerate(_DESIGNS_OF_KINDS) for design in designs
}


RED = (196, 24, 34)
WHITE = (240, 240, 236)
BLUE = (24, 80, 176)
YELLOW = (244, 188, 24)
BLACK = (26, 26, 28)

TROUSERS = (
    YELLOW,
    (44, 46, 52),
    (150, 154, 160),
    (28, 96, 70),
    (214, 110, 40),
    (120, 30, 44),
    (108, 150, 196),
    (196, 186, 160),
)
PAINTS = (RED, WHITE, BLUE, *TROUSERS)
WALLS = (
    (176, 104, 84),
    (206, 186, 150),
    (158, 160, 166),
    (224, 214, 196),
    (132, 96, 78),
    (172, 188, 190),
    (214, 160, 120),
    (110, 116, 128),
    (196, 60, 52),
    (96, 124, 168),
)
LEAVES = ((58, 112, 46), (86, 134, 52), (46, 92, 62), (170, 124, 40), (186, 84, 40))
SKINS = ((236, 196, 166), (198, 146, 108), (128, 84, 58))
HAIR = ((50, 36, 28), (120, 84, 40), (28, 26, 28))


def pick(rng: np.random.Generator, choices: Sequence):
    """One of the choices."""
    return choices[int(rng.integers(len(choices)))]


def vary(rng: np.random.Generator, colour, spread: int = 16) -> np.ndarray:
    """Colour moved by up to ``spread`` as a whole and by a third of it in each channel."""
    shift = rng.integers(-spread, spread + 1) + rng.integers(-spread // 3, spread // 3 + 1, 3)
    return np.clip(np.array(colour) + shift, 8, 247)
