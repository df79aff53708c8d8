"""Vehicles, as bodies whose faces are painted from the farthest to the nearest, and traffic."""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from .canvas import Canvas, ngon, outline, rect
from .classes import DET_CLASSES, PAINTS, VEHICLE, pick, vary
from .scene import Thing


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
SHORT = VEHICLES[:5]  # no bus, no lorry
GLASS = (44, 54, 66)
TYRE = outline((0, 0, 0.5, 0.5), (0, 0.24, 0.24, 0))  # up and across, seen from the front


class Body:
    """Vehicle that stands in the street.

    Args:
        shape: Its measures.
        x: Of its middle, in metres.
        z0: Of its near end.
        turn: Degrees; 0 drives away from the camera.
        colour: RGB of the paint.
        sunny: Brightness of its sides.
    """

    def __init__(
        self, shape: Vehicle, x: float, z0: float, turn: float, colour: np.ndarray, sunny: float
    ) -> None:
        self.shape, self.colour, self.sunny = shape, colour, sunny
        c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        self.depth = z0 + (shape.length * abs(c) + shape.width * abs(s)) / 2
        self._place = (x, 0, self.depth)
        self._middle = (shape.length / 2, 0, shape.width / 2)
        self._turned = np.array([(s, 0, c), (0, 1, 0), (c, 0, -s)])

    def world(self, points) -> np.ndarray:
        """Length, height, width (metres, from the rear right corner) to world points."""
        return (np.array(points) - self._middle) @ self._turned + self._place

    def side(self, shape: np.ndarray, w: float) -> np.ndarray:
        """Shape (P, 2) of lengths and heights as a world polygon at width ``w``."""
        return self.world(np.insert(shape, 2, w, -1))

    def strip(
        self, i: int, u0: float = 0.0, v0: float = 0.0, u1: float = 1.0, v1: float = 1.0
    ) -> np.ndarray:
        """Part of the surface above profile segment i: u across, v along the segment."""
        start, end = self.shape.profile[i : i + 2]
        near, far = (start + (end - start) * v for v in (v0, v1))
        left, right = self.shape.width * u0, self.shape.width * u1
        return self.world([(*near, left), (*near, right), (*far, right), (*far, left)])

    def paint(self, canvas: Canvas) -> None:
        """Paint the vehicle with its shadow."""
        length, width, profile = self.shape.length, self.shape.width, self.shape.profile
        foot = rect(-0.2, -0.2, length + 0.2, width + 0.2)
        canvas.shade(self.world(np.insert(foot, 1, 0, -1)), 0.5)
        for end in (0.1, length - 0.1):
            tyres = [TYRE + (0, w) for w in (0.04, width - 0.28)]
            canvas.fill([self.world(np.insert(tyre, 0, end, -1)) for tyre in tyres], (22, 22, 24))

        def distance(face: np.ndarray) -> np.floating:
            return np.linalg.norm(face.mean(0) - canvas.view.eye)

        faces = [
            (distance(self.strip(i)), partial(self._paint_strip, canvas, i))
            for i in range(len(profile) - 1)
        ]
        # Only the nearer side can be seen.
        away, w = min((distance(self.side(profile, w)), w) for w in (0.0, width))
        faces.append((away, partial(self._paint_side, canvas, w)))
        for _, draw in sorted(faces, key=lambda face: -face[0]):
            draw()

    def _paint_side(self, canvas: Canvas, w: float) -> None:
        length = self.shape.length
        canvas.fill(self.side(self.shape.profile, w), self.colour * self.sunny)
        canvas.fill(self.side(self.shape.window, w), GLASS, detail=True)
        sill = self.side(rect(0.05, 0.42, length - 0.05, 0.5), w)
        canvas.fill(sill, self.colour * 0.6, detail=True)
        for wheel in (0.18 * length, 0.8 * length):
            canvas.fill(self.side(ngon(16, 0.36, 0, (wheel, 0.36)), w), (24, 24, 26))
            hub = self.side(ngon(10, 0.17, 0, (wheel, 0.36)), w)
            canvas.fill(hub, (132, 134, 138), detail=True)

    def _paint_strip(self, canvas: Canvas, i: int) -> None:
        length, rise = np.abs(np.diff(self.shape.profile[i : i + 2], axis=0)[0])
        is_front = i == len(self.shape.profile) - 2
        if i in self.shape.glass:
            canvas.fill(self.strip(i), GLASS)
            canvas.fill(self.strip(i, 0.08, 0.1, 0.5, 0.9), np.array(GLASS) + 26, detail=True)
        elif i == 0 or is_front:
            canvas.fill(self.strip(i), self.colour * 0.92)
        else:
            level = length / np.hypot(length, rise)
            canvas.fill(self.strip(i), self.colour * (0.85 + 0.3 * level))
        if i == 0:
            self._paint_lights(canvas, i, 0.3 / rise, 0.5 / rise, (206, 22, 20))
            canvas.fill(self.strip(i, 0.38, 0.2, 0.62, 0.4), (224, 220, 196), detail=True)
            if self.shape.rear_window:
                canvas.fill(self.strip(i, 0.1, 0.62, 0.9, 0.9), GLASS, detail=True)
        elif is_front:
            self._paint_lights(
                canvas, i, (0.72 - 0.5) / rise, (0.72 - 0.25) / rise, (250, 244, 214)
            )
            canvas.fill(self.strip(i, 0.2, 0.7, 0.8, 0.85), (40, 40, 44), detail=True)

    def _paint_lights(
        self, canvas: Canvas, i: int, low: float, high: float, colour: Iterable[int]
    ) -> None:
        lights = [self.strip(i, 0.04, low, 0.2, high), self.strip(i, 0.8, low, 0.96, high)]
        canvas.fill(lights, colour, 0.25 + 0.75 * canvas.light.lamps, detail=True)


def vehicle(rng: np.random.Generator, x: float, z0: float, turn: float, shape: Vehicle) -> Thing:
    """Vehicle whose near end is at z0; ``turn`` in degrees, 0 driving away from the camera."""
    colour, sunny = vary(rng, pick(rng, PAINTS), 14), rng.uniform(0.72, 1.0)
    body = Body(shape, x, z0, turn, colour, sunny)
    return Thing(body.depth, body.paint, VEHICLE, DET_CLASSES.index('vehicle'))


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
