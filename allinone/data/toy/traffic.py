"""Vehicles on the road."""

import numpy as np

from .rng import pick
from .scene import Thing
from .vehicle_shapes import VEHICLES
from .vehicles import vehicle

SHORT = VEHICLES[:5]  # no bus, no lorry


def traffic(rng: np.random.Generator, half: float) -> list[Thing]:
    """Vehicles on a road of half-width ``half``: in its two lanes, or one or two crossing it."""
    if rng.random() < 0.2:
        return [_crossing(rng, x) for x in pick(rng, ((-4, 4), (-2,), (2,)))]
    return [thing for x in (-half / 2, half / 2) for thing in _queue(rng, x)]


def _crossing(rng: np.random.Generator, x: float) -> Thing:
    """Vehicle about ``x`` that crosses the street."""
    x, z, turn = x + rng.uniform(-1, 1), rng.uniform(8, 15), pick(rng, (90, -90))
    return vehicle(rng, x, z, turn, pick(rng, SHORT))


def _queue(rng: np.random.Generator, x: float) -> list[Thing]:
    """Vehicles following each other in the lane at ``x``; they keep to the right."""
    things = []
    z = rng.uniform(6, 13)
    while z < 17:
        shape = pick(rng, VEHICLES)
        if rng.random() < 0.6:
            turn = rng.uniform(-5, 5) + (0 if x > 0 else 180)
            things.append(vehicle(rng, x + rng.uniform(-0.3, 0.3), z, turn, shape))
        z += shape.length + rng.uniform(2, 6)
    return things
