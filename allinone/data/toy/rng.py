"""Random choices."""

from collections.abc import Sequence

import numpy as np


def pick(rng: np.random.Generator, choices: Sequence):
    """One of the choices."""
    return choices[rng.integers(len(choices))]


def vary(rng: np.random.Generator, colour, spread: int = 16) -> np.ndarray:
    """Colour moved by up to ``spread`` as a whole and by a third of it in each channel."""
    shift = rng.integers(-spread, spread + 1) + rng.integers(-spread // 3, spread // 3 + 1, 3)
    return np.clip(np.array(colour) + shift, 8, 247)
