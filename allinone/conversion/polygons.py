"""Polygons ``[x1, y1, x2, y2, ...]`` of objects: their areas and bounding boxes."""

import math
from collections.abc import Sequence

from .data_set import Box

__all__ = ['box_area', 'circle', 'enclosing_box', 'polygon_area', 'rotated']

CORNERS = 36  # of the polygon for a circle, whose area is then 0.5 % too small


def polygon_area(polygon: Sequence[float]) -> float:
    """Area of a polygon."""
    xs, ys = polygon[::2], polygon[1::2]
    following = zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]])
    return abs(sum(x * next_y - next_x * y for x, y, next_x, next_y in following)) / 2


def box_area(box: Box, otherwise: float) -> float:
    """Area of a box's segmentation; ``otherwise`` for an encoding whose area is not known."""
    if box.area:
        return box.area
    if isinstance(box.segmentation, dict):
        counts = box.segmentation.get('counts')
        return sum(counts[1::2]) if isinstance(counts, list) else otherwise
    return sum(map(polygon_area, box.segmentation or ())) or otherwise


def enclosing_box(polygons: Sequence[Sequence[float]], label: int, masks: bool = True) -> Box:
    """The box around polygons, which are its segmentation with ``masks``."""
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    left, top = min(xs), min(ys)
    found = [list(polygon) for polygon in polygons] if masks else None
    return Box(left, top, max(xs) - left, max(ys) - top, label, segmentation=found)


def circle(x: float, y: float, width: float, height: float | None = None) -> list[float]:
    """Polygon of an ellipse with this centre and these radii (one radius: a circle)."""
    height = width if height is None else height
    angles = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    return [v for a in angles for v in (x + width * math.cos(a), y + height * math.sin(a))]


def rotated(left: float, top: float, right: float, bottom: float, degrees: float) -> list[float]:
    """Corners of a box that is turned clockwise around its centre."""
    x, y = (left + right) / 2, (top + bottom) / 2
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [
        value
        for dx, dy in ((px - x, py - y) for px, py in corners)
        for value in (x + dx * cosine - dy * sine, y + dx * sine + dy * cosine)
    ]
