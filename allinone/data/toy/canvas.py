"""Image, class map and instance map that are painted together."""

import cv2
import numpy as np

from .classes import SKY
from .scene import Scene, Thing

OVERSAMPLE = 3  # odd, so that every pixel has a centre sample for its labels


class Canvas:
    """Oversampled image, class map and instance map of a scene; at first there is only the sky."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.view = scene, scene.view
        width, height = (side * OVERSAMPLE for side in scene.view.size)
        ramp = np.clip(np.arange(height) / (scene.view.centre[1] * OVERSAMPLE), 0, 1)[:, None, None]
        sky = np.array(scene.light.zenith) * (1 - ramp) + np.array(scene.light.horizon) * ramp
        self.image = cv2.repeat(np.rint(sky).astype(np.uint8), 1, width)
        self.classes = np.full((height, width), SKY, np.uint8)
        self.instances = np.zeros((height, width), np.int16)
        self.label, self.key, self.corners = SKY, 0, []

    def add(self, thing: Thing, key: int) -> float:
        """Paint a thing under an instance id; returns its whole size in oversampled pixels."""
        self.label, self.key, self.corners = thing.seg, key, []
        thing.paint(self)
        if not self.corners:
            return 0.0
        corners = np.concatenate(self.corners)
        low, high = corners.min(0), corners.max(0)
        (x0, y0), (x1, y1) = np.maximum(low, 0), np.clip(high, 0, self.image.shape[1::-1])
        painted = np.count_nonzero(self.instances[y0 : y1 + 1, x0 : x1 + 1] == key)
        # What lies outside the picture is estimated by the share of the box that does.
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
            False where nothing of the polygons can lie in the picture.
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
        light = self.scene.light
        clear = max(np.exp(-points[0, 0, 2] / self.scene.haze), glow)
        lit = [
            min(c * max(gain, glow) * clear + far * (1 - clear), 255)
            for c, gain, far in zip(colour, light.gain, light.horizon)
        ]
        cv2.fillPoly(self.image, pixels, lit)
        if not detail:
            cv2.fillPoly(self.classes, pixels, self.label)
            cv2.fillPoly(self.instances, pixels, self.key if owned else 0)
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
