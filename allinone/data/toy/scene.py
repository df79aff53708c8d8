"""What a scene is: things that stand in a street, a camera and the light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .canvas import Canvas


class Light(NamedTuple):
    """Light of a scene: gain of painted colours and the colours of the sky."""

    gain: tuple[float, float, float]
    zenith: tuple[int, int, int]
    horizon: tuple[int, int, int]
    lamps: bool  # lamps, some windows and vehicle lights shine


DAY = Light((1.0, 1.0, 0.98), (84, 142, 212), (204, 224, 240), lamps=False)
CLOUDY = Light((0.84, 0.86, 0.9), (158, 166, 176), (206, 208, 210), lamps=False)
DUSK = Light((0.86, 0.66, 0.58), (88, 84, 140), (248, 172, 104), lamps=True)
NIGHT = Light((0.42, 0.46, 0.58), (14, 18, 40), (54, 58, 84), lamps=True)
LIGHTS = (DAY, DAY, CLOUDY, DUSK, NIGHT)


@dataclass(frozen=True)
class View:
    """Pinhole camera looking along z; focal length and principal point in picture pixels."""

    size: tuple[int, int]
    focal: float
    centre: tuple[float, float]
    eye: np.ndarray  # (3,) metres

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points (..., 3) in metres to pixels (..., 2); z must be positive."""
        rays = points - self.eye
        return rays[..., :2] / rays[..., 2:] * (self.focal, -self.focal) + self.centre


@dataclass
class Thing:
    """Something in the street: paint order, how it is painted and what it is called."""

    depth: float
    paint: Callable[[Canvas], None]
    seg: int  # class in the label map
    det: int | None = None  # index in DET_CLASSES, None for the surroundings
    design: str | None = None  # which of SIGNS


@dataclass
class Scene:
    """Street seen by a camera in some light."""

    view: View
    light: Light
    haze: float  # distance in metres at which the haze hides two thirds of a colour
    things: list[Thing] = field(default_factory=list)
