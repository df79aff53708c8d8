"""Shapes of vehicles."""

from typing import NamedTuple

import numpy as np

from .shapes import outline


class Vehicle(NamedTuple):
    """Shape of a vehicle in metres, seen from its right side: length from the rear, height."""

    width: float
    profile: np.ndarray  # (P, 2), open below, from rear to front
    glass: tuple[int, ...]  # profile segments that are windows
    window: np.ndarray  # (4, 2), on the side
    rear_window: bool = False  # in the first segment, for a rear too steep to be a window

    @property
    def length(self) -> float:
        """Length in metres."""
        return self.profile[-1, 0]


SEDAN = Vehicle(
    width=1.8,
    profile=outline(
        (0, 0, 0.7, 1.2, 2.6, 3.3, 4.4, 4.5), (0.3, 0.88, 0.97, 1.42, 1.44, 0.97, 0.82, 0.3)
    ),
    glass=(2, 4),
    window=outline((1.0, 1.35, 2.5, 3.0), (1.0, 1.34, 1.36, 1.0)),
)
HATCH = Vehicle(
    width=1.75,
    profile=outline((0, 0.02, 0.4, 2.3, 3.1, 3.8, 3.9), (0.3, 0.95, 1.48, 1.52, 1.0, 0.86, 0.3)),
    glass=(1, 3),
    window=outline((0.4, 0.6, 2.2, 2.8), (1.02, 1.4, 1.42, 1.02)),
)
VAN = Vehicle(
    width=1.95,
    profile=outline((0, 0, 3.6, 4.4, 5.0, 5.1), (0.3, 2.1, 2.15, 1.2, 1.05, 0.3)),
    glass=(2,),
    window=outline((3.0, 3.0, 3.5, 4.1), (1.25, 1.9, 1.9, 1.25)),
    rear_window=True,
)
BUS = Vehicle(
    width=2.4,
    profile=outline((0, 0, 8.0, 8.1, 8.1), (0.35, 2.9, 2.9, 1.2, 0.35)),
    glass=(2,),
    window=outline((0.5, 0.5, 7.6, 7.6), (1.4, 2.4, 2.4, 1.4)),
    rear_window=True,
)
LORRY = Vehicle(
    width=2.3,
    profile=outline((0, 0, 4.6, 4.7, 5.9, 6.2, 6.2), (0.5, 3.0, 3.0, 2.4, 2.3, 1.4, 0.4)),
    glass=(4,),
    window=outline((5.0, 5.0, 5.8, 6.0), (1.4, 2.1, 2.1, 1.4)),
)
VEHICLES = (SEDAN, SEDAN, HATCH, HATCH, VAN, BUS, LORRY)
