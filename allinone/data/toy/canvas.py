"""From polygons in metres to pixels: camera, light, canvas and exposure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .classes import SKY

OVERSAMPLE = 3  # odd, so that every pixel has a centre sample for its labels


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
    """Pinhole camera looking along z; focal length and principal point in image pixels."""

    size: tuple[int, int]
    focal: float
    centre: tuple[float, float]
    eye: np.ndarray  # (3,) metres

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points (..., 3) in metres to pixels (..., 2); z must be positive."""
        rays = points - self.eye
        return rays[..., :2] / rays[..., 2:] * (self.focal, -self.focal) + self.centre


class Canvas:
    """Oversampled image, class map and instance map that are painted together; at first, the sky.

    Args:
        view: The camera.
        light: Light of the scene.
        haze: Distance in metres at which the haze hides two thirds of a colour.
    """

    def __init__(self, view: View, light: Light, haze: float) -> None:
        self.view, self.light, self.haze = view, light, haze
        width, height = (side * OVERSAMPLE for side in view.size)
        ramp = np.clip(np.arange(height) / (view.centre[1] * OVERSAMPLE), 0, 1)[:, None, None]
        sky = np.array(light.zenith) * (1 - ramp) + np.array(light.horizon) * ramp
        self.image = cv2.repeat(np.rint(sky).astype(np.uint8), 1, width)
        self.classes = np.full((height, width), SKY, np.uint8)
        self.instances = np.zeros((height, width), np.int16)
        self.label, self.key = SKY, 0
        self.corners: list[np.ndarray] = []

    def add(self, paint: Callable[['Canvas'], object], label: int, key: int) -> float:
        """Paint a thing by its function, with its class and instance id.

        Returns:
            Its full size in oversampled pixels, with what is hidden or outside the image.
        """
        self.label, self.key, self.corners = label, key, []
        paint(self)
        if not self.corners:
            return 0.0
        corners = np.concatenate(self.corners)
        low, high = corners.min(0), corners.max(0)
        (x0, y0), (x1, y1) = np.maximum(low, 0), np.clip(high, 0, self.image.shape[1::-1])
        painted = np.count_nonzero(self.instances[y0 : y1 + 1, x0 : x1 + 1] == key)
        # What lies outside the image is estimated by the part of the box that does.
        inside = max(x1 - x0, 1) * max(y1 - y0, 1)
        return painted * float((high - low).prod()) / float(inside)

    def fill(
        self, polygons, colour, glow: float = 0.0, detail: bool = False, owned: bool = True
    ) -> bool:
        """Fill world polygons, (P, 3) or, where they do not overlap, (N, P, 3).

        Args:
            polygons: Corners in metres.
            colour: RGB, before light and haze.
            glow: Light of its own, 0 to 1, whatever the light of the scene.
            detail: Leave the labels alone: the polygon lies on something painted before.
            owned: Whether the polygon belongs to the instance; a sign's pole does not.

        Returns:
            False where nothing of the polygons can lie in the image.
        """
        points = np.asarray(polygons, float)
        points = points.reshape(-1, *points.shape[-2:])
        pixels = self._pixels(points)
        corners = pixels.reshape(-1, 2)
        if not detail and owned and self.key:
            self.corners.append(corners)
        x, y, width, height = cv2.boundingRect(corners)
        rows, columns = self.classes.shape
        if x + width <= 0 or y + height <= 0 or x >= columns or y >= rows:
            return False
        light = self.light
        clear = max(np.exp(-points[0, 0, 2] / self.haze), glow)
        lit = [
            min(c * max(gain, glow) * clear + far * (1 - clear), 255)
            for c, gain, far in zip(colour, light.gain, light.horizon)
        ]
        shapes = list(pixels)
        cv2.fillPoly(self.image, shapes, lit)
        if not detail:
            cv2.fillPoly(self.classes, shapes, self.label)
            cv2.fillPoly(self.instances, shapes, self.key if owned else 0)
        return True

    def shade(self, polygon: np.ndarray, factor: float) -> None:
        """Darken the image under one world polygon (P, 3); labels stay."""
        pixels = self._pixels(polygon)
        x, y, width, height = cv2.boundingRect(pixels)
        region = self.image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        mask = np.zeros(region.shape[:2], np.uint8)
        if mask.size:
            cv2.fillPoly(mask, [pixels - np.maximum((x, y), 0)], 255)
            cv2.copyTo((region * factor).astype(np.uint8), mask, region)

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) as oversampled pixels (..., 2)."""
        return np.rint(self.view.project(points) * OVERSAMPLE).astype(np.int32)


def expose(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Image (H, W, 3), uint8, that a camera takes: with bloom, blur, uneven light and noise."""
    image = cv2.resize(canvas.image, canvas.view.size, interpolation=cv2.INTER_AREA)
    if canvas.light.lamps:
        image = _bloom(image)
    image = _blur(image, rng)
    exposed = image * _uneven_light(image.shape, rng)
    exposed += _noise(image.shape, rng)
    return np.clip(np.rint(exposed), 0, 255).astype(np.uint8)


def _bloom(image: np.ndarray) -> np.ndarray:
    """Light that spills from what is almost white."""
    bright = np.where(image.max(2, keepdims=True) > 235, image, 0).astype(np.uint8)
    return cv2.add(image, cv2.GaussianBlur(bright, (0, 0), 4) // 2)


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Image as sharp as some lens makes it."""
    sigma = rng.uniform(0, 1.0)
    return cv2.GaussianBlur(image, (5, 5), sigma) if sigma > 0.4 else image


def _uneven_light(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Factors (H, W, 3) of exposure, white balance and smooth shading, float32."""
    shading = cv2.resize(rng.integers(205, 256, (3, 4), np.uint8), shape[1::-1])
    gain = rng.uniform(0.85, 1.12) * rng.uniform(0.95, 1.05, 3)
    return shading[..., None] * (gain / 240).astype(np.float32)


def _noise(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise (H, W, 3), int8."""
    # Sums of integers stand in for normal noise: they are the same on every platform.
    spread = rng.integers(2, 7)
    first, second = rng.integers(-spread, spread + 1, (2, *shape), np.int8)
    return first + second
