"""Houses along the street."""

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas
from .classes import BUILDING
from .colors import PAINTS, WALLS
from .rng import pick, vary
from .scene import Thing
from .shapes import rect

MAX_COLUMNS = 16  # of windows


@dataclass
class Facade:
    """Look of a house's walls; lengths in metres."""

    height: float
    colour: np.ndarray
    pitch: float  # from window to window
    lit: np.ndarray  # (floors, MAX_COLUMNS) bool: windows behind which somebody is at home
    shop: bool  # instead of the lowest windows
    awning: np.ndarray  # colour
    trim: float  # brightness of the edge of the roof
    pane: np.ndarray  # (4, 2) window in a cell of width and height 1

    def paint(self, canvas: Canvas, origin, along, length: float, shade: float) -> None:
        """Paint one wall.

        Args:
            canvas: Where to paint.
            origin: Lower corner of the wall, (3,) metres.
            along: Horizontal unit vector in the wall, (3,).
            length: Of the wall in metres.
            shade: Factor of the wall's brightness.
        """

        def on_wall(shape: np.ndarray) -> np.ndarray:
            return origin + shape[..., :1] * along + shape[..., 1:] * (0, 1, 0)

        colour = self.colour * shade
        if not canvas.fill(on_wall(rect(0, 0, length, self.height)), colour):
            return
        edge = on_wall(rect(0, self.height - 0.5, length, self.height))
        canvas.fill(edge, colour * self.trim, detail=True)
        columns = min(max(int(length / self.pitch), 1), MAX_COLUMNS)
        cell = np.array((length / columns, self.height / len(self.lit)))
        lit = self.lit[int(self.shop) :, :columns]
        for at_home in (False, True):
            rows, places = np.nonzero(lit == at_home)
            panes = (np.stack([places, rows + int(self.shop)], 1)[:, None] + self.pane) * cell
            if not len(panes):
                continue
            if at_home and canvas.scene.light.lamps:
                canvas.fill(on_wall(panes), (250, 206, 120), glow=0.9, detail=True)
            else:
                glass = np.array((70, 86, 104)) + 40 * at_home
                canvas.fill(on_wall(panes), glass * shade, detail=True)
        if self.shop:
            canvas.fill(on_wall(rect(0.4, 0.3, length - 0.4, 2.3)), (60, 66, 72), detail=True)
            awning = on_wall(rect(0.2, 2.3, length - 0.2, 3.0))
            canvas.fill(awning, self.awning * shade, detail=True)


def building(rng: np.random.Generator, side: int, inner: float, z0: float, z1: float) -> Thing:
    """House along the street from z0 to z1 with its wall at ``side * inner`` metres."""
    height, wall = rng.uniform(6, 22), vary(rng, pick(rng, WALLS), 24)
    pitch = rng.uniform(2.0, 3.2)
    lit = rng.random((max(int(height / 3.1), 2), MAX_COLUMNS)) < 0.3
    shop, awning = rng.random() < 0.6, vary(rng, pick(rng, PAINTS), 12)
    trim, sunny = rng.uniform(0.7, 1.2), rng.uniform(0.7, 1)
    wide, tall = rng.uniform(0.2, 0.3), rng.uniform(0.45, 0.7)
    pane = rect(0.5 - wide, 0.25, 0.5 + wide, 0.25 + tall)
    facade = Facade(height, wall, pitch, lit, shop, awning, trim, pane)
    corner = (side * inner, 0, z0)
    front, flank = (1.0, sunny) if side > 0 else (sunny, 1.0)

    def paint(canvas: Canvas) -> None:
        facade.paint(canvas, corner, np.array([side, 0, 0]), 12.0, front)
        facade.paint(canvas, corner, np.array([0, 0, 1]), z1 - z0, flank)

    return Thing(1000 + z0, paint, BUILDING)
