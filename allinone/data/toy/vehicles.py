"""Vehicles, as bodies whose faces are painted from the farthest to the nearest."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from .canvas import Canvas
from .classes import DET_CLASSES, VEHICLE
from .colors import PAINTS
from .rng import pick, vary
from .scene import Thing
from .shapes import ngon, outline, rect
from .vehicle_shapes import Vehicle

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

        def distance(face: np.ndarray) -> float:
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
        canvas.fill(lights, colour, 0.25 + 0.75 * canvas.scene.light.lamps, detail=True)


def vehicle(rng: np.random.Generator, x: float, z0: float, turn: float, shape: Vehicle) -> Thing:
    """Vehicle whose near end is at z0; ``turn`` in degrees, 0 driving away from the camera."""
    colour, sunny = vary(rng, pick(rng, PAINTS), 14), rng.uniform(0.72, 1.0)
    body = Body(shape, x, z0, turn, colour, sunny)
    return Thing(body.depth, body.paint, VEHICLE, DET_CLASSES.index('vehicle'))
