"""Traffic signs."""

import numpy as np

from .canvas import Canvas
from .classes import DET_CLASSES, SIGN
from .scene import Thing
from .shapes import rect, upright
from .sign_designs import SIGNS


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
