"""Scenes of things in a street, and the images and labels painted of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from .canvas import OVERSAMPLE, Canvas, Light, View, expose
from .classes import IGNORE

MIN_VISIBLE, MIN_SIDE = 0.3, 6  # part of an object, pixels of its box; below, it is removed


@dataclass
class Thing:
    """Something in the street: paint order, how it is painted and what it is called."""

    depth: float
    paint: Callable[[Canvas], object]
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


class SceneImage(NamedTuple):
    """Painted scene: image (H, W, 3) uint8 RGB, class and instance maps (H, W), objects by id."""

    image: np.ndarray
    classes: np.ndarray
    instances: np.ndarray
    objects: dict[int, Thing]

    def boxes(self) -> Iterator[tuple[Thing, Sequence[int]]]:
        """Objects with the box x, y, width, height in pixels of what is visible of each."""
        for key, thing in self.objects.items():
            yield thing, cv2.boundingRect((self.instances == key).astype(np.uint8))


def paint(scene: Scene, rng: np.random.Generator, tidy: bool = True) -> SceneImage:
    """Paint a scene; ``tidy`` leaves out the objects that would be almost hidden."""
    things = sorted(scene.things, key=lambda thing: -thing.depth)
    middle = slice(OVERSAMPLE // 2, None, OVERSAMPLE)
    while True:
        canvas = Canvas(scene.view, scene.light, scene.haze)
        shown = {i: thing for i, thing in enumerate(things, 1) if thing.det is not None}
        sizes = [
            canvas.add(thing.paint, thing.seg, i * (i in shown))
            for i, thing in enumerate(things, 1)
        ]
        instances = canvas.instances[middle, middle]
        hidden = {
            i
            for i in shown
            if tidy and not _well_visible(instances == i, sizes[i - 1] / OVERSAMPLE**2)
        }
        if not hidden:
            break
        things = [thing for i, thing in enumerate(things, 1) if i not in hidden]
    # A pixel that shows two classes has no true label.
    low, high = (
        change(canvas.classes, np.ones((3, 3)))[middle, middle]
        for change in (cv2.erode, cv2.dilate)
    )
    labels = np.where(low == high, low, IGNORE).astype(np.uint8)
    return SceneImage(expose(canvas, rng), labels, instances, shown)


def _well_visible(mask: np.ndarray, size: float) -> bool:
    """Whether a mask (H, W) shows enough of an object of ``size`` pixels to be labelled."""
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return min(width, height) >= MIN_SIDE and np.count_nonzero(mask) >= MIN_VISIBLE * size
