"""Procedurally painted street scenes, written as small data sets in the suite's three formats.

A :class:`Scene` is a list of things standing in a street, measured in metres (x to the right,
y up, z away from the camera). Painting it back to front through a pinhole :class:`View` fills
an image, a class map and an instance map with the same polygons, so boxes and label maps are
exact. All colours are RGB. Every picture has its own random stream, keyed by seed, data set,
split and picture number: picture n is the same however many pictures are made.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

GENERATOR_VERSION = 1
SIGN_CLASSES = ('stop', 'yield', 'limit_30', 'limit_50', 'priority', 'no_entry', 'turn_left',
                'turn_right')
DET_CLASSES = ('vehicle', 'pedestrian', 'sign')
SEG_CLASSES = ('sky', 'building', 'road', 'pavement', 'tree', 'vehicle', 'sign')
SEG_PALETTE = ((70, 130, 180), (70, 70, 70), (128, 64, 128), (244, 35, 232), (107, 142, 35),
               (0, 0, 142), (220, 220, 0))
SIGN_KINDS = ('prohibition', 'warning', 'mandatory')
KIND_OF_SIGN = {'limit_30': 0, 'limit_50': 0, 'no_entry': 0, 'danger': 1, 'bend': 1,
                'crossroads': 1, 'turn_left': 2, 'turn_right': 2, 'ahead': 2}
DEFAULT_COUNTS = {'cls': (640, 160), 'det': (240, 60), 'seg': (160, 40), 'signs': (160, 40)}
SPLITS = ('train', 'val')
MAX_PICTURES = 10_000
IGNORE = 255
SCENE_SIZE, CROP_SIZE = (256, 192), (64, 64)  # width, height in pixels
OVERSAMPLE = 3  # odd, so that every pixel has a centre sample for its labels
MIN_VISIBLE, MIN_SIDE = 0.3, 6  # share of an object, pixels of its box; below, it is removed
SKY, BUILDING, ROAD, PAVEMENT, TREE, VEHICLE, SIGN = range(len(SEG_CLASSES))

RED, WHITE, BLUE, YELLOW, BLACK = ((196, 24, 34), (240, 240, 236), (24, 80, 176), (244, 188, 24),
                                   (26, 26, 28))
PAINTS = (RED, WHITE, BLUE, YELLOW, (44, 46, 52), (150, 154, 160), (28, 96, 70), (214, 110, 40),
          (120, 30, 44), (108, 150, 196), (196, 186, 160))
WALLS = ((176, 104, 84), (206, 186, 150), (158, 160, 166), (224, 214, 196), (132, 96, 78),
         (172, 188, 190), (214, 160, 120), (110, 116, 128), (196, 60, 52), (96, 124, 168))
LEAVES = ((58, 112, 46), (86, 134, 52), (46, 92, 62), (170, 124, 40), (186, 84, 40))
SKINS = ((236, 196, 166), (198, 146, 108), (128, 84, 58))


class Light(NamedTuple):
    """Light of a scene: gain of painted colours and the colours of the sky."""

    gain: tuple[float, float, float]
    zenith: tuple[int, int, int]
    horizon: tuple[int, int, int]
    lamps: bool  # lamps, some windows and vehicle lights shine


DAY = Light((1.0, 1.0, 0.98), (84, 142, 212), (204, 224, 240), False)
LIGHTS = (DAY, DAY, Light((0.84, 0.86, 0.9), (158, 166, 176), (206, 208, 210), False),
          Light((0.86, 0.66, 0.58), (88, 84, 140), (248, 172, 104), True),
          Light((0.42, 0.46, 0.58), (14, 18, 40), (54, 58, 84), True))


class Vehicle(NamedTuple):
    """Shape of a vehicle: side profile from rear to front, as (length, height) in metres."""

    width: float
    profile: tuple[tuple[float, float], ...]
    glass: tuple[int, ...]  # profile segments that are windows
    side: tuple[tuple[float, float], ...]  # side window, in the profile's plane


SEDAN = Vehicle(1.8, ((0, .3), (0, .88), (.7, .97), (1.2, 1.42), (2.6, 1.44), (3.3, .97),
                      (4.4, .82), (4.5, .3)), (2, 4), ((1., 1.), (1.35, 1.34), (2.5, 1.36),
                                                       (3., 1.)))
HATCH = Vehicle(1.75, ((0, .3), (.02, .95), (.4, 1.48), (2.3, 1.52), (3.1, 1.), (3.8, .86),
                       (3.9, .3)), (1, 3), ((.4, 1.02), (.6, 1.4), (2.2, 1.42), (2.8, 1.02)))
VAN = Vehicle(1.95, ((0, .3), (0, 2.1), (3.6, 2.15), (4.4, 1.2), (5., 1.05), (5.1, .3)), (2,),
              ((3., 1.25), (3., 1.9), (3.5, 1.9), (4.1, 1.25)))
BUS = Vehicle(2.4, ((0, .35), (0, 2.9), (8., 2.9), (8.1, 1.2), (8.1, .35)), (2,),
              ((.5, 1.4), (.5, 2.4), (7.6, 2.4), (7.6, 1.4)))
LORRY = Vehicle(2.3, ((0, .5), (0, 3.), (4.6, 3.), (4.7, 2.4), (5.9, 2.3), (6.2, 1.4), (6.2, .4)),
                (4,), ((5., 1.4), (5., 2.1), (5.8, 2.1), (6., 1.4)))
VEHICLES = (SEDAN, SEDAN, HATCH, HATCH, VAN, BUS, LORRY)


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
        quads.append(np.stack([a - along - across, a - along + across, b + along + across,
                               b + along - across]))
    return quads


LETTERS = {'S': ((1, 1), (0, 1), (0, .5), (1, .5), (1, 0), (0, 0)), 'T': ((0, 1), (1, 1), (.5, 1),
           (.5, 0)), 'O': ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0)), 'P': ((0, 0), (0, 1), (1, 1),
           (1, .5), (0, .5)), '3': ((0, 1), (1, 1), (1, .5), (.2, .5), (1, .5), (1, 0), (0, 0))}
LETTERS |= {'5': LETTERS['S'], '0': LETTERS['O']}


def text(word: str, letter: tuple[float, float], pitch: float, width: float) -> list[np.ndarray]:
    """Word of stroke letters centred on the origin, as (4, 2) rectangles."""
    left = -(pitch * (len(word) - 1) + letter[0]) / 2
    return [quad for i, character in enumerate(word) for quad in strokes(
        np.array(LETTERS[character]) * letter + (left + i * pitch, -letter[1] / 2), width)]


def limit(word: str) -> list:
    """Layers of a speed-limit sign."""
    return [(ngon(28), RED), (ngon(28, .76), WHITE),
            *((quad, BLACK) for quad in text(word, (.34, .68), .62, .17))]


def arrow(turn: float) -> list:
    """Layers of a mandatory sign with an arrow turned clockwise from up, in degrees."""
    shape = np.array([(0, .72), (.5, .12), (.2, .12), (.2, -.66), (-.2, -.66), (-.2, .12),
                      (-.5, .12)])
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return [(ngon(28), WHITE), (ngon(28, .93), BLUE), (shape @ np.array([(c, -s), (s, c)]), WHITE)]


def warning(*glyph) -> list:
    """Layers of a warning triangle around black glyph polygons."""
    return [(ngon(3, 1.2, 0, (0, -.2)), RED), (ngon(3, .78, 0, (0, -.2)), WHITE),
            *((shape, BLACK) for shape in glyph)]


SIGNS = {  # layers of (polygon in plate units, colour), painted in order
    'stop': [(ngon(8, 1.06, 22.5), WHITE), (ngon(8, .97, 22.5), RED),
             *((quad, WHITE) for quad in text('STOP', (.26, .56), .41, .12))],
    'yield': [(ngon(3, 1.2, 180, (0, .2)), RED), (ngon(3, .72, 180, (0, .2)), WHITE)],
    'limit_30': limit('30'), 'limit_50': limit('50'),
    'priority': [(ngon(4, 1.15), WHITE), (ngon(4, .82), YELLOW)],
    'no_entry': [(ngon(28), WHITE), (ngon(28, .94), RED), (rect(-.68, -.18, .68, .18), WHITE)],
    'turn_left': arrow(-90), 'turn_right': arrow(90), 'ahead': arrow(0),
    'danger': warning(rect(-.09, -.22, .09, .32), rect(-.09, -.5, .09, -.33)),
    'bend': warning(*strokes(((-.15, -.48), (-.15, -.2), (.15, -.05), (.15, .25)), .17)),
    'crossroads': warning(*strokes(((-.28, -.5), (.28, .1)), .16),
                          *strokes(((.28, -.5), (-.28, .1)), .16)),
}


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


class Picture(NamedTuple):
    """Painted scene: image (H, W, 3) uint8 RGB, class and instance maps (H, W), objects by id."""

    image: np.ndarray
    classes: np.ndarray
    instances: np.ndarray
    objects: dict[int, Thing]

    def boxes(self) -> Iterator[tuple[Thing, tuple[int, int, int, int]]]:
        """Objects with the box x, y, width, height in pixels of what is visible of each."""
        for key, thing in self.objects.items():
            yield thing, cv2.boundingRect((self.instances == key).astype(np.uint8))


class Canvas:
    """Oversampled image, class map and instance map that are painted together."""

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
        painted = np.count_nonzero(self.instances[y0:y1 + 1, x0:x1 + 1] == key)
        # What lies outside the picture is estimated by the share of the box that does.
        inside = max(x1 - x0, 1) * max(y1 - y0, 1)
        return painted * float((high - low).prod()) / float(inside)

    def fill(self, polygons, colour, glow: float = 0.0, detail: bool = False,
             owned: bool = True) -> bool:
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
        pixels = np.rint(self.view.project(points) * OVERSAMPLE).astype(np.int32)
        corners = pixels.reshape(-1, 2)
        if not detail and owned and self.key:
            self.corners.append(corners)
        x, y, width, height = cv2.boundingRect(corners)
        if (min(x + width, y + height) <= 0 or x >= self.image.shape[1]
                or y >= self.image.shape[0]):
            return False
        light = self.scene.light
        clear = max(np.exp(-points[0, 0, 2] / self.scene.haze), glow)
        lit = [min(c * max(gain, glow) * clear + far * (1 - clear), 255)
               for c, gain, far in zip(colour, light.gain, light.horizon)]
        cv2.fillPoly(self.image, pixels, lit)
        if not detail:
            cv2.fillPoly(self.classes, pixels, self.label)
            cv2.fillPoly(self.instances, pixels, self.key if owned else 0)
        return True

    def shade(self, polygon, factor: float) -> None:
        """Darken the image under one world polygon (P, 3); labels stay."""
        pixels = np.rint(self.view.project(polygon) * OVERSAMPLE).astype(np.int32)
        x, y, width, height = cv2.boundingRect(pixels)
        region = self.image[max(y, 0):max(y + height, 0), max(x, 0):max(x + width, 0)]
        mask = np.zeros(region.shape[:2], np.uint8)
        if mask.size:
            cv2.fillPoly(mask, [pixels - np.maximum((x, y), 0)], 255)
            cv2.copyTo((region * factor).astype(np.uint8), mask, region)


def pick(rng: np.random.Generator, choices: Sequence):
    """One of the choices."""
    return choices[rng.integers(len(choices))]


def vary(rng: np.random.Generator, colour, spread: int = 16) -> np.ndarray:
    """Colour moved by up to ``spread`` as a whole and by a third of it in each channel."""
    shift = rng.integers(-spread, spread + 1) + rng.integers(-spread // 3, spread // 3 + 1, 3)
    return np.clip(np.array(colour) + shift, 8, 247)


def upright(shape: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    """Shape (P, 2) in metres as a world polygon facing the camera at (x, y, z)."""
    return np.column_stack([shape[:, 0] + x, shape[:, 1] + y, np.full(len(shape), z)])


def flat(x0: float, z0: float, x1: float, z1: float) -> np.ndarray:
    """Rectangle on the ground as a world polygon (4, 3)."""
    return rect(x0, z0, x1, z1)[:, [0, 0, 1]] * (1, 0, 1)


def ground(rng: np.random.Generator, half: float, walk: float) -> list[Thing]:
    """Pavement and a road of half-width ``half`` with kerbs, markings, patches and shadow."""
    grey, stone = vary(rng, (96, 96, 100), 20), vary(rng, (164, 156, 148), 24)
    dashes = np.stack([flat(-.07, z, .07, z + 2) for z in np.arange(1 + 3 * rng.random(), 60, 5)])
    joints = np.stack([flat(-half - walk, z, half + walk, z + .05) for z in np.arange(2, 26, 1.5)])
    stripes = np.arange(-half + .3, half - .5)
    corners = zip(rng.uniform(-half, half - 1, 7), rng.uniform(3, 25, 7), rng.uniform(.4, 1.5, 7))
    patches = [(flat(x, z, min(x + w, half), z + w * 1.5), vary(rng, grey, 10))
               for x, z, w in corners]
    crossing, edge, sun = rng.uniform(7, 14), rng.random() < .5, rng.uniform(-1.2, 1.2) * half
    shaded, zebra = rng.random() < .45, rng.random() < .35

    def pavement(canvas: Canvas) -> None:
        canvas.fill(flat(-150, 1, 150, 100), stone)
        canvas.fill(joints, stone * .86, detail=True)

    def road(canvas: Canvas) -> None:
        canvas.fill(flat(-half, 1, half, 100), grey)
        for patch, colour in patches:
            canvas.fill(patch, colour, detail=True)
        canvas.fill(dashes, (226, 226, 220), detail=True)
        for side in (-1, 1):
            canvas.fill(flat(side * half, 1, side * (half + .18), 100), stone * 1.15, detail=True)
            if edge:
                canvas.fill(flat(side * (half - .4), 1, side * (half - .28), 100),
                            (222, 220, 210), detail=True)
        if zebra:
            canvas.fill(np.stack([flat(x, crossing, x + .5, crossing + 2.6) for x in stripes]),
                        (230, 230, 226), detail=True)
        if shaded and not canvas.scene.light.lamps:
            canvas.shade(np.array([(sun, 0, 1), (sun, 0, 100), (60 * np.sign(sun), 0, 100),
                                   (60 * np.sign(sun), 0, 1)]), .66)

    return [Thing(2000, pavement, PAVEMENT), Thing(1999, road, ROAD)]


def clouds(rng: np.random.Generator) -> Thing:
    """Clouds, far behind everything."""
    puffs = [(ngon(14) * (rng.uniform(14, 40), rng.uniform(4, 9)) + (x + rng.uniform(-40, 40),
              y + rng.uniform(-5, 5))) for x, y in zip(rng.uniform(-180, 180, 3),
                                                       rng.uniform(40, 150, 3)) for _ in range(4)]

    def paint(canvas: Canvas) -> None:
        for puff in puffs:
            canvas.fill(upright(puff, 0, 0, 40 + 260), (255, 255, 255), detail=True)

    return Thing(5000, paint, SKY)


def skyline(rng: np.random.Generator) -> list[Thing]:
    """Far houses and hedges that close the street."""
    things = []
    for x in np.arange(-110, 110, 14):
        hedge = rng.random() < .3
        height, width = (rng.uniform(4, 8) if hedge else rng.uniform(7, 30)), rng.uniform(12, 18)
        colour, shape = vary(rng, pick(rng, LEAVES if hedge else WALLS)), rect(0, 0, width, height)
        things.append(Thing(1900 + rng.random(), lambda canvas, x=x, c=colour, s=shape:
                            canvas.fill(upright(s, x, 0, 92), c), TREE if hedge else BUILDING))
    return things


def building(rng: np.random.Generator, side: int, inner: float, z0: float, z1: float) -> Thing:
    """House along the street from z0 to z1 with its wall at ``side * inner`` metres."""
    height, wall = rng.uniform(6, 22), vary(rng, pick(rng, WALLS), 24)
    floors, pitch = max(int(height / 3.1), 2), rng.uniform(2.0, 3.2)
    lit, shop = rng.random((floors, 16)) < .3, rng.random() < .6
    awning, trim, sunny = vary(rng, pick(rng, PAINTS), 12), rng.uniform(.7, 1.2), rng.uniform(.7, 1)
    wide, tall = rng.uniform(.2, .3), rng.uniform(.45, .7)
    pane = rect(.5 - wide, .25, .5 + wide, .25 + tall)
    x = side * inner

    def facade(canvas: Canvas, origin, along: np.ndarray, length: float, shade: float) -> None:
        def on_wall(shape: np.ndarray) -> np.ndarray:
            return origin + shape[:, :1] * along + shape[:, 1:] * (0, 1, 0)

        if not canvas.fill(on_wall(rect(0, 0, length, height)), wall * shade):
            return
        canvas.fill(on_wall(rect(0, height - .5, length, height)), wall * shade * trim, detail=True)
        columns = min(max(int(length / pitch), 1), 16)
        cell = np.array((length / columns, height / floors))
        for glow in (False, True):
            rows, places = np.nonzero(lit[int(shop):, :columns] == glow)
            bright = .9 * (glow and canvas.scene.light.lamps)
            at = (np.stack([places, rows + int(shop)], 1)[:, None] + pane) * cell
            if len(at):
                canvas.fill(origin + at[..., :1] * along + at[..., 1:] * (0, 1, 0),
                            (250, 206, 120) if bright else (np.array((70, 86, 104)) + 40 * glow)
                            * shade, bright, detail=True)
        if shop:
            canvas.fill(on_wall(rect(.4, .3, length - .4, 2.3)), (60, 66, 72), detail=True)
            canvas.fill(on_wall(rect(.2, 2.3, length - .2, 3.0)), awning * shade, detail=True)

    def paint(canvas: Canvas) -> None:
        facade(canvas, (x, 0, z0), np.array([side, 0, 0]), 12.0, 1.0 if side > 0 else sunny)
        facade(canvas, (x, 0, z0), np.array([0, 0, 1]), z1 - z0, sunny if side > 0 else 1.0)

    return Thing(1000 + z0, paint, BUILDING)


def tree(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Broad-leaved tree or conifer of 4 to 8 m."""
    height, leaf, conifer = rng.uniform(4, 8), vary(rng, pick(rng, LEAVES), 14), rng.random() < .25
    spread = height * rng.uniform(.2, .3)
    at = rng.uniform(-1, 1, (42, 2))
    at = at[np.hypot(*at.T) < 1.1]
    at = at[np.argsort(at[:, 1] + rng.uniform(-.5, .5, len(at)))]
    sizes = rng.uniform(.2, .42, len(at)) * spread
    shades = .82 + .3 * at[:, 1] + rng.uniform(-.12, .12, len(at))
    at = at * (spread, height * .28) + (0, height * .68)
    blobs = np.insert(ngon(9) * sizes[:, None, None] + at[:, None], 2, 0, -1) + (x, 0, z)

    def paint(canvas: Canvas) -> None:
        canvas.shade(upright(ngon(16), 0, 0, 0)[:, [0, 2, 1]] * (spread, 0, spread) + (x, 0, z), .7)
        canvas.fill(upright(rect(-.14, 0, .14, height * .6), x, 0, z), (92, 70, 54))
        if conifer:
            for i in range(5):
                top = ngon(3, spread * (1.1 - .16 * i), 0, (0, height * (.32 + .14 * i)))
                canvas.fill(upright(top, x, 0, z), leaf * (.62 + .1 * i))
            return
        for blob, shade in zip(blobs, shades):
            canvas.fill(blob, leaf * shade)

    return Thing(z, paint, TREE)


def furniture(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Street lamp or coloured box; none of the classes, so the label map ignores it."""
    colour, tall = vary(rng, pick(rng, PAINTS)), rng.uniform(.8, 1.4)
    lamp, reach = rng.random() < .5, -np.sign(x) * rng.uniform(.8, 1.4)

    def paint(canvas: Canvas) -> None:
        if lamp:
            on = canvas.scene.light.lamps
            canvas.fill(upright(rect(-.07, 0, .07, 5.4), x, 0, z), (84, 88, 92))
            canvas.fill(upright(rect(0, 5.3, reach, 5.42), x, 0, z), (84, 88, 92))
            canvas.fill(upright(rect(reach - .3, 5.16, reach + .3, 5.34), x, 0, z),
                        (255, 236, 180) if on else (150, 154, 156), float(on))
        else:
            canvas.fill(upright(rect(-.3, 0, .3, tall), x, 0, z), colour)
            canvas.fill(upright(rect(-.34, tall, .34, tall + .14), x, 0, z), colour * .7)

    return Thing(z, paint, IGNORE)


def vehicle(rng: np.random.Generator, x: float, z0: float, turn: float,
            shape: Vehicle | None = None) -> Thing:
    """Vehicle whose near end is at z0; ``turn`` in degrees, 0 driving away from the camera."""
    shape = shape or pick(rng, VEHICLES)
    paint_colour, sunny = vary(rng, pick(rng, PAINTS), 14), rng.uniform(.72, 1.0)
    profile, length = np.array(shape.profile, float), shape.profile[-1][0]
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    z = z0 + (length * abs(c) + shape.width * abs(s)) / 2
    middle = (length / 2, 0, shape.width / 2)
    turned = np.array([(s, 0, c), (0, 1, 0), (c, 0, -s)])
    glass, wheels = (44, 54, 66), (.18 * length, .8 * length)

    def world(points) -> np.ndarray:
        """Length, height, width (metres, from the rear right corner) to world points."""
        return (np.array(points) - middle) @ turned + (x, 0, z)

    def strip(i: int, u0=0.0, v0=0.0, u1=1.0, v1=1.0) -> np.ndarray:
        """Part of the surface above profile segment i: u across, v along the segment."""
        ends = [profile[i] + (profile[i + 1] - profile[i]) * v for v in (v0, v1)]
        return world([(*ends[v], shape.width * u) for u, v in ((u0, 0), (u1, 0), (u1, 1), (u0, 1))])

    def across(i: int, canvas: Canvas) -> None:
        (l0, h0), (l1, h1) = profile[i:i + 2]
        end = i in (0, len(profile) - 2)
        colour = glass if i in shape.glass else paint_colour * (
            .92 if end else .85 + .3 * abs(l1 - l0) / np.hypot(l1 - l0, h1 - h0))
        canvas.fill(strip(i), colour)
        if i in shape.glass:
            canvas.fill(strip(i, .08, .1, .5, .9), np.array(glass) + 26, detail=True)
        if end:
            rise = abs(h1 - h0)
            low, high = (((.72 - h) / rise for h in (.5, .25)) if i else (.3 / rise, .5 / rise))
            lamp = (250, 244, 214) if i else (206, 22, 20)
            canvas.fill(np.stack([strip(i, .04, low, .2, high), strip(i, .8, low, .96, high)]),
                        lamp, .25 + .75 * canvas.scene.light.lamps, detail=True)
            canvas.fill(strip(i, .38, .2, .62, .4) if i == 0 else strip(i, .2, .7, .8, .85),
                        (224, 220, 196) if i == 0 else (40, 40, 44), detail=True)
            if i == 0 and shape in (VAN, BUS):
                canvas.fill(strip(i, .1, .62, .9, .9), glass, detail=True)

    def flank(w: float, canvas: Canvas) -> None:
        def on_side(outline) -> np.ndarray:
            return world([(*point, w) for point in outline])

        canvas.fill(on_side(profile), paint_colour * sunny)
        canvas.fill(on_side(shape.side), glass, detail=True)
        canvas.fill(on_side(rect(0.05, .42, length - .05, .5)), paint_colour * .6, detail=True)
        for centre in wheels:
            canvas.fill(on_side(ngon(16, .36, 0, (centre, .36))), (24, 24, 26))
            canvas.fill(on_side(ngon(10, .17, 0, (centre, .36))), (132, 134, 138), detail=True)

    def paint(canvas: Canvas) -> None:
        foot = world([(-.2, 0, -.2), (length + .2, 0, -.2), (length + .2, 0, shape.width + .2),
                      (-.2, 0, shape.width + .2)])
        canvas.shade(foot, .5)
        for end in (.1, length - .1):  # tyres seen from the front or behind
            canvas.fill(np.stack([world([(end, h, w + d) for h, d in ((0, 0), (0, .24), (.5, .24),
                                  (.5, 0))]) for w in (.04, shape.width - .28)]), (22, 22, 24))
        faces = [(strip(i), lambda i=i: across(i, canvas)) for i in range(len(profile) - 1)]
        faces += [(world([(*p, w) for p in profile]), lambda w=w: flank(w, canvas))
                  for w in (0.0, shape.width)]
        away = [(face.mean(0) - canvas.view.eye, draw) for face, draw in faces]
        near_side = np.linalg.norm(away[-1][0]) < np.linalg.norm(away[-2][0])
        del away[-2 if near_side else -1]  # the far side cannot be seen
        for _, draw in sorted(away, key=lambda pair: -np.linalg.norm(pair[0])):
            draw()

    return Thing(z, paint, VEHICLE, DET_CLASSES.index('vehicle'))


def pedestrian(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Walking or standing person of 1.5 to 1.9 m; ignored in the label map."""
    coat, legs = vary(rng, pick(rng, PAINTS)), vary(rng, pick(rng, PAINTS[3:]), 10) * .8
    skin, hair = pick(rng, SKINS), vary(rng, pick(rng, ((50, 36, 28), (120, 84, 40), (28, 26, 28))))
    size, stride, swing = rng.uniform(.86, 1.08), rng.uniform(0, .32), rng.uniform(-.2, .2)
    skirt, bag = rng.random() < .3, rng.random() < .35

    def paint(canvas: Canvas) -> None:
        def part(shape, colour) -> None:
            canvas.fill(upright(np.array(shape, float) * size, x, 0, z), colour)

        canvas.shade(flat(x - .4, z - .2, x + .4, z + .2), .6)
        for way in (-1, 1):
            foot = way * stride
            part([(way * .02, .85), (way * .17, .85), (foot + way * .15, 0), (foot, 0)],
                 legs * (1 + .12 * way))
            part([(way * .16, 1.45), (way * .25, 1.4), (way * (.28 + swing), .82),
                  (way * (.19 + swing), .82)], coat * .84)
        if skirt:
            part([(-.17, .95), (.17, .95), (.3, .45), (-.3, .45)], coat * .9)
        part([(-.19, .8), (.19, .8), (.23, 1.42), (.1, 1.5), (-.1, 1.5), (-.23, 1.42)], coat)
        if bag:
            part(rect(.14, .7, .42, 1.02), legs * .6)
        part(ngon(12, .145, 0, (0, 1.63)), hair)
        part(ngon(10, .11, 0, (.02, 1.6)), skin)

    return Thing(z, paint, IGNORE, DET_CLASSES.index('pedestrian'))


def sign(rng: np.random.Generator, x: float, z: float, design: str) -> Thing:
    """Traffic sign on a pole: plate of about 1.1 m across, slightly turned and faded."""
    size, height = rng.uniform(.5, .62), rng.uniform(2.0, 2.9)
    yaw, roll = np.deg2rad(rng.uniform(-28, 28)), np.deg2rad(rng.uniform(-10, 10))
    axes = np.array([(np.cos(roll) * np.cos(yaw), np.sin(roll), np.sin(yaw) * np.cos(roll)),
                     (-np.sin(roll) * np.cos(yaw), np.cos(roll), -np.sin(roll) * np.sin(yaw))])
    fade, glow = rng.uniform(.78, 1.05), rng.uniform(.35, .7)

    def paint(canvas: Canvas) -> None:
        canvas.fill(upright(rect(-.06, 0, .06, height), x, 0, z + .02), (128, 130, 134),
                    owned=False)
        for i, (polygon, colour) in enumerate(SIGNS[design]):
            canvas.fill(polygon @ axes * size + (x, height, z), np.array(colour) * fade, glow,
                        detail=i > 0)

    return Thing(z, paint, SIGN, DET_CLASSES.index('sign'), design)


def traffic(rng: np.random.Generator, half: float, lanes: Sequence[float]) -> list[Thing]:
    """Vehicles following each other in the lanes, or one or two crossing the street."""
    if rng.random() < .2:
        return [vehicle(rng, x + rng.uniform(-1, 1), rng.uniform(8, 15), pick(rng, (90, -90)),
                        pick(rng, VEHICLES[:5])) for x in pick(rng, ((-4, 4), (-2,), (2,)))]
    things = []
    for x in lanes:
        z = rng.uniform(6, 13)
        while z < 17:
            shape = pick(rng, VEHICLES)
            if rng.random() < .6:
                turn = rng.uniform(-5, 5) + (0 if x > 0 else 180)
                things.append(vehicle(rng, x + rng.uniform(-.3, .3), z, turn, shape))
            z += shape.profile[-1][0] + rng.uniform(2, 6)
    return things


def street(rng: np.random.Generator, signs: Sequence[str], people: int, cars: bool) -> Scene:
    """Random street with the given signs, a number of people and perhaps vehicles."""
    width, height = SCENE_SIZE
    half, walk = rng.uniform(3.2, 4.8), rng.uniform(2.2, 4.2)
    eye = np.array((rng.uniform(-.4, .7) * half, rng.uniform(1.5, 2.4), 0.0))
    view = View(SCENE_SIZE, rng.uniform(205, 255), (width * rng.uniform(.4, .6),
                height * rng.uniform(.42, .54)), eye)
    scene = Scene(view, pick(rng, LIGHTS), rng.uniform(60, 260))

    def kerbside(low: float, high: float, offset: float, side: int = 0) -> tuple[float, float]:
        """Place x, z beside the road that the camera can see at less than ``high`` metres."""
        side = side or pick(rng, (-1, 1))
        near = [abs(way * (half + offset) - eye[0]) * view.focal
                / (width / 2 + way * (width / 2 - view.centre[0]) - 10) for way in (side, -side)]
        if near[0] > high > near[1]:
            side, near = -side, near[::-1]
        return side * (half + offset), rng.uniform(max(low, near[0]), max(high, near[0] + .5))

    scene.things += [clouds(rng), *ground(rng, half, walk), *skyline(rng)]
    for side in (-1, 1):
        z = rng.uniform(2, 5)
        while z < 60:
            depth = rng.uniform(6, 15)
            if rng.random() < .85:
                scene.things.append(building(rng, side, half + walk + rng.uniform(0, 1), z,
                                             z + depth))
            z += depth + (rng.random() < .3) * rng.uniform(2, 7)
    for make, most, low, high in ((tree, 6, 8, 40), (furniture, 5, 7, 25)):
        for _ in range(rng.integers(most)):
            scene.things.append(make(rng, *kerbside(low, high, rng.uniform(.8, walk))))
    scene.things += traffic(rng, half, (-half / 2, half / 2)) if cars else []
    for _ in range(people):
        x, z = kerbside(6, 14, rng.uniform(.4, 2))
        scene.things.append(pedestrian(rng, rng.uniform(-half, half) if rng.random() < .15 else x,
                                       z))
    scene.things += [sign(rng, *kerbside(5, 12.5, rng.uniform(.3, 1), (-1, 1)[i % 2]), design)
                     for i, design in enumerate(signs)]
    return scene


def paint(scene: Scene, rng: np.random.Generator, tidy: bool = True) -> Picture:
    """Paint a scene as a picture; ``tidy`` without the objects that would be almost hidden."""
    things = sorted(scene.things, key=lambda thing: -thing.depth)
    middle = slice(OVERSAMPLE // 2, None, OVERSAMPLE)
    while True:
        canvas = Canvas(scene)
        shown = {i: thing for i, thing in enumerate(things, 1) if thing.det is not None}
        whole = [canvas.add(thing, i * (i in shown)) for i, thing in enumerate(things, 1)]
        instances = canvas.instances[middle, middle]
        hidden = {i for i in shown if tidy and not well_visible(
            instances == i, whole[i - 1] / OVERSAMPLE ** 2)}
        if not hidden:
            break
        things = [thing for i, thing in enumerate(things, 1) if i not in hidden]
    # A pixel that shows two classes has no true label.
    low, high = (change(canvas.classes, np.ones((3, 3)))[middle, middle]
                 for change in (cv2.erode, cv2.dilate))
    labels = np.where(low == high, low, IGNORE).astype(np.uint8)
    return Picture(expose(canvas.image, scene, rng), labels, instances, shown)


def well_visible(mask: np.ndarray, whole: float) -> bool:
    """Whether a mask (H, W) shows enough of an object of ``whole`` pixels to be labelled."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return min(width, height) >= MIN_SIDE and np.count_nonzero(mask) >= MIN_VISIBLE * whole


def expose(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Oversampled image to the camera's picture: bloom, uneven light, blur and noise."""
    width, height = scene.view.size
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if scene.light.lamps:
        bright = np.where(image.max(2, keepdims=True) > 235, image, 0).astype(np.uint8)
        image = cv2.add(image, cv2.GaussianBlur(bright, (0, 0), 4) // 2)
    sigma = rng.uniform(0, 1.0)
    if sigma > .4:
        image = cv2.GaussianBlur(image, (5, 5), sigma)
    shading = cv2.resize(rng.integers(205, 256, (3, 4), np.uint8), (width, height))
    gain = rng.uniform(.85, 1.12) * rng.uniform(.95, 1.05, 3)
    # Sums of integers stand in for normal noise: they are the same on every platform.
    spread = rng.integers(2, 7)
    noise = rng.integers(-spread, spread + 1, (2, height, width, 3), np.int8)
    exposed = image * (shading[..., None] * (gain / 240).astype(np.float32))
    exposed += noise[0] + noise[1]
    return np.clip(np.rint(exposed), 0, 255).astype(np.uint8)


def sign_crop(rng: np.random.Generator, design: str) -> Picture:
    """Close view of one sign, with whatever stands behind it."""
    scene = street(rng, (design,), int(rng.integers(3)), rng.random() < .3)
    target = scene.things[-1]
    scene.things = [thing for thing in scene.things if thing.depth >= target.depth]
    # Painting the sign alone tells where its plate is.
    alone = Canvas(replace(scene, view=replace(scene.view, size=(1, 1))))
    alone.add(target, 1)
    low, high = (bound / OVERSAMPLE for bound in (alone.corners[0].min(0), alone.corners[0].max(0)))
    zoom = rng.uniform(24, 56) / (high - low).max()
    middle = np.array(CROP_SIZE) / 2 + rng.uniform(-5, 5, 2)
    centre = middle + (scene.view.centre - (low + high) / 2) * zoom
    scene.view = replace(scene.view, size=CROP_SIZE, focal=scene.view.focal * zoom,
                         centre=tuple(centre))
    return paint(scene, rng, tidy=False)


def make_picture(seed: int, data_set: str, split: str, number: int) -> Picture:
    """Paint picture ``number`` (from 1) of a split of a data set, whatever the other pictures.

    Returns:
        The picture; for ``cls`` its class is ``(number - 1) % len(SIGN_CLASSES)``.
    """
    rng = np.random.default_rng([seed, tuple(DEFAULT_COUNTS).index(data_set),
                                 SPLITS.index(split), number])
    if data_set == 'cls':
        return sign_crop(rng, SIGN_CLASSES[(number - 1) % len(SIGN_CLASSES)])
    if data_set == 'det' and number % 12 == 5:  # some pictures show no object
        return paint(street(rng, (), 0, False), rng)
    if data_set == 'signs':
        designs = rng.choice(tuple(SIGNS), rng.integers(1, 5), replace=False)
        return paint(street(rng, designs, int(rng.integers(3)), rng.random() < .5), rng)
    designs = rng.choice(tuple(SIGNS), rng.integers(1, 4), replace=False)
    return paint(street(rng, designs, int(rng.integers(5)), True), rng)


def _write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB (H, W, 3) or label (H, W) uint8 picture in the format of the suffix."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    done, data = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise OSError(f'OpenCV could not encode {path.name}')
    path.write_bytes(data.tobytes())


def _write_list(root: Path, split: str, count: int, paint_one: Callable) -> None:
    """Pictures of one split of the classification set and their list of names and labels."""
    (root / split).mkdir(parents=True)
    lines = []
    for number in range(1, count + 1):
        name = f'{number:05d}.png'
        _write_image(root / split / name, paint_one(number).image)
        lines.append(f'{name} {(number - 1) % len(SIGN_CLASSES)}\n')
    (root / f'{split}.txt').write_text(''.join(lines), encoding='utf-8')


def _write_coco(root: Path, split: str, count: int, paint_one: Callable,
                classes: Sequence[str], class_of: Callable[[Thing], int | None]) -> None:
    """Pictures of one split of a detection set and its COCO annotations."""
    (root / split).mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        picture, name = paint_one(number), f'{number:05d}.jpg'
        _write_image(root / split / name, picture.image)
        height, width = picture.classes.shape
        images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
        annotations += [
            {'id': len(annotations) + i, 'image_id': number, 'category_id': class_of(thing) + 1,
             'bbox': list(box), 'area': box[2] * box[3], 'iscrowd': 0}
            for i, (thing, box) in enumerate(
                ((t, b) for t, b in picture.boxes() if class_of(t) is not None), 1)]
    categories = [{'id': i, 'name': name} for i, name in enumerate(classes, 1)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (root / f'{split}.json').write_text(json.dumps(content), encoding='utf-8')


def _write_labels(root: Path, split: str, count: int, paint_one: Callable) -> None:
    """Pictures and label maps of one split of the segmentation set."""
    images, labels = root / 'images' / split, root / 'label' / split
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(1, count + 1):
        picture = paint_one(number)
        _write_image(images / f'{number:05d}.jpg', picture.image)
        _write_image(labels / f'{number:05d}.png', picture.classes)


WRITERS = {
    'cls': _write_list,
    'det': partial(_write_coco, classes=DET_CLASSES, class_of=lambda thing: thing.det),
    'seg': _write_labels,
    'signs': partial(_write_coco, classes=SIGN_KINDS,
                     class_of=lambda thing: KIND_OF_SIGN.get(thing.design)),
}
README = """# Toy street scenes

Painted by `tools/make_toy_data.py` (generator {version}, seed {seed}); no photograph is used.

| folder | task | format | train | val | classes |
|---|---|---|---|---|---|
{rows}

Pictures of `cls` are {crop} pixels, all others {scene} pixels. In `seg`, label {ignore} is
ignored: pixels on the border of two classes, people, lamps and boxes on the pavement. In `signs`,
stop, yield and priority signs appear but belong to none of the kinds. Objects of which less than
{visible:.0%} would be visible are not painted. `toy.json` tells how the folder was made.
"""


def _readme(counts: dict, seed: int) -> str:
    """Text that describes a folder of toy data."""
    about = {'cls': ('classification', 'picture lists', SIGN_CLASSES),
             'det': ('detection', 'COCO JSON', DET_CLASSES),
             'seg': ('segmentation', 'label PNG', SEG_CLASSES),
             'signs': ('detection', 'COCO JSON', SIGN_KINDS)}
    rows = '\n'.join(f'| `{name}` | {task} | {layout} | {train} | {val} | {", ".join(classes)} |'
                     for (name, (task, layout, classes)), (train, val)
                     in zip(about.items(), counts.values()))
    return README.format(version=GENERATOR_VERSION, seed=seed, rows=rows, ignore=IGNORE,
                         crop='x'.join(map(str, CROP_SIZE)), visible=MIN_VISIBLE,
                         scene='x'.join(map(str, SCENE_SIZE)))


def _already_made(out: Path, recipe: dict) -> bool:
    """Whether ``out`` holds this very data; raises FileExistsError if it holds anything else."""
    if not out.exists() or out.is_dir() and not any(out.iterdir()):
        return False
    try:
        found = json.loads((out / 'toy.json').read_text(encoding='utf-8'))
        found = {key: found[key] for key in recipe}
    except (OSError, ValueError, KeyError, TypeError):
        found = 'something that is no toy data'
    if found == recipe:
        return True
    raise FileExistsError(f'{out} already exists and holds {found}, but {recipe} was asked for. '
                          'Choose another folder with --out, or remove this one first.')


def make_toy_data(out: str | Path, seed: int = 0, pictures: int | None = None,
                  progress: bool = False) -> Path:
    """Paint the toy data sets ``cls``, ``det``, ``seg`` and ``signs`` into a new folder.

    Everything is written to a temporary folder beside ``out`` that is renamed at the end, so
    ``out`` is either complete or absent. The same data is not painted again.

    Args:
        out: Folder to make; missing parents are made as well.
        seed: Non-negative seed of all pictures.
        pictures: Pictures in each train split, 1 to ``MAX_PICTURES``; each val split gets a
            quarter, 8 at least. None takes ``DEFAULT_COUNTS``.
        progress: Print a line for each split.

    Returns:
        The folder.

    Raises:
        FileExistsError: ``out`` holds something other than this data.
        ValueError: ``seed`` or ``pictures`` is out of range.
    """
    if seed < 0:
        raise ValueError(f'seed must be 0 or more, not {seed}')
    if pictures is not None and not 1 <= pictures <= MAX_PICTURES:
        raise ValueError(f'pictures must be 1 to {MAX_PICTURES}, not {pictures}')
    out = Path(out)
    recipe = {'generator': GENERATOR_VERSION, 'seed': seed, 'pictures': pictures}
    if _already_made(out, recipe):
        print(f'{out} already holds this toy data; nothing to do.')
        return out
    counts = {name: default if pictures is None else (pictures, max(8, pictures // 4))
              for name, default in DEFAULT_COUNTS.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}-') as beside:
        root = Path(beside) / out.name
        for name, write in WRITERS.items():
            for split, count in zip(SPLITS, counts[name]):
                write(root / name, split, count, partial(make_picture, seed, name, split))
                if progress:
                    print(f'{name}/{split}: {count} pictures', flush=True)
        (root / 'README.md').write_text(_readme(counts, seed), encoding='utf-8')
        (root / 'toy.json').write_text(json.dumps(recipe | {'counts': counts}), encoding='utf-8')
        if out.is_dir():
            out.rmdir()  # empty; some systems do not rename onto a folder
        root.rename(out)
    return out
