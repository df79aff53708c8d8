"""Polygons: flat shapes (P, 2), and where they stand or lie in the world (P, 3), in metres."""

import numpy as np


def outline(across, up) -> np.ndarray:
    """Polygon (P, 2) given by the two coordinates of its corners."""
    return np.stack([across, up], 1).astype(float)


def ngon(corners: int, radius: float = 1.0, turn: float = 0.0, centre=(0.0, 0.0)) -> np.ndarray:
    """Regular polygon, (corners, 2), whose first corner points up turned by ``turn`` degrees."""
    angle = np.deg2rad(turn) + 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.sin(angle), np.cos(angle)], 1) * radius + centre


def rect(u0: float, v0: float, u1: float, v1: float) -> np.ndarray:
    """Rectangle between two corners, (4, 2)."""
    return np.array([(u0, v0), (u1, v0), (u1, v1), (u0, v1)], float)


def strokes(points, width: float) -> list[np.ndarray]:
    """Thick polyline as one (4, 2) rectangle a segment, overlapping by half a width."""
    quads = []
    for a, b in zip(np.array(points[:-1], float), np.array(points[1:], float)):
        along = (b - a) / np.linalg.norm(b - a) * width / 2
        across = along[::-1] * (1, -1)
        quads.append(
            np.stack(
                [a - along - across, a - along + across, b + along + across, b + along - across]
            )
        )
    return quads


def upright(shape: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    """Shape (P, 2) as a world polygon facing the camera at (x, y, z)."""
    return np.column_stack([shape[:, 0] + x, shape[:, 1] + y, np.full(len(shape), z)])


def flat(x0: float, z0: float, x1: float, z1: float) -> np.ndarray:
    """Rectangle on the ground as a world polygon (4, 3)."""
    return rect(x0, z0, x1, z1)[:, [0, 0, 1]] * (1, 0, 1)
