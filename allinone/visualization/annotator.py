"""Annotator with line widths and fonts in proportion to the image."""

import math
import os.path as osp
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .palette import Colour, ink_on

BASE_SIDE, BASE_FONT = 480, 13
GROWTH = 0.85  # below 1, because large images are also viewed from nearby
LONGEST_TEXT = 40
# Lengths of a dash and of the gap after it, in line widths; none: a full line
DASHES: dict[str, tuple[int, int] | None] = dict(solid=None, dashed=(6, 5), dotted=(2, 3))

Box = tuple[float, float, float, float]


class Annotator:
    """Draws on an image with lines and letters in proportion to its size.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        like: ``(H, W)`` that the line and letter sizes follow. Default: that of ``image``.
    """

    def __init__(self, image: np.ndarray, like: tuple[int, int] | None = None):
        self.canvas = Image.fromarray(image)
        self.draw = ImageDraw.Draw(self.canvas)
        unit = (min(like or image.shape[:2]) / BASE_SIDE) ** GROWTH
        self.line = max(1, round(2 * unit))
        self.font = _font(max(9, round(BASE_FONT * unit)))
        ascent, descent = self.font.getmetrics()
        self.text_height = ascent + descent
        self.pad = max(2, self.text_height // 5)

    @property
    def image(self) -> np.ndarray:
        return np.array(self.canvas)

    @property
    def label_height(self) -> int:
        return self.text_height + self.pad

    def label_width(self, text: str) -> int:
        return self.width(text) + 2 * self.pad

    def width(self, text: str) -> int:
        """Width of a text in pixels."""
        return _width(self.font.size, text)

    def frame(self, box: Box, colour: Colour, style: str = 'solid') -> None:
        """Draw a rectangle x1, y1, x2, y2 with a dark rim that separates it from its mask.

        Args:
            box: The rectangle.
            colour: Its colour.
            style: A key of ``DASHES``.
        """
        x1, y1, x2, y2 = (round(value) for value in box)
        rim = max(1, self.line // 2)
        if (dash := DASHES[style]) is not None:
            self._dashed((x1, y1, x2, y2), colour, rim, dash)
            return
        self.draw.rectangle(
            (x1 - rim, y1 - rim, x2 + rim, y2 + rim),
            outline=(20, 20, 20),
            width=self.line + 2 * rim,
        )
        self.draw.rectangle((x1, y1, x2, y2), outline=colour, width=self.line)

    def _dashed(
        self, box: tuple[int, int, int, int], colour: Colour, rim: int, dash: tuple[int, int]
    ) -> None:
        x1, y1, x2, y2 = box
        # Boxes may reach far out of the image, where no dash is seen.
        across = _dashes(x1, x2, self.canvas.width, self.line, dash)
        down = _dashes(y1, y2, self.canvas.height, self.line, dash)
        line = self.line - 1
        bars = [(a, y, b, y + line) for a, b in across for y in (y1, y2 - line)]
        bars += [(x, a, x + line, b) for a, b in down for x in (x1, x2 - line)]
        for wider, ink in ((rim, (20, 20, 20)), (0, colour)):
            for left, top, right, bottom in bars:
                corners = (left - wider, top - wider, right + wider, bottom + wider)
                if corners[0] <= corners[2] and corners[1] <= corners[3]:
                    self.draw.rectangle(corners, fill=ink)

    def label(self, x: float, y: float, text: str, colour: Colour) -> None:
        """Draw text on a background of ``colour`` with its top left corner at (x, y)."""
        x, y = round(x), round(y)
        self.draw.rectangle(
            (x, y, x + self.label_width(text) - 1, y + self.label_height - 1), fill=colour
        )
        self.text(x + self.pad, y + self.pad // 2, text, ink_on(colour))

    def text(self, x: int, y: int, text: str, colour: Colour) -> None:
        """Draw text with its top left corner at (x, y)."""
        letters, left, top = _letters(self.font.size, text)
        self.draw.bitmap((x + left, y + top), letters, fill=colour)


def shorten(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + '…'


def _dashes(
    start: int, stop: int, size: int, line: int, dash: tuple[int, int]
) -> list[tuple[int, int]]:
    """First and last pixel of each dash of a side; the first and the last begin at its corners.

    Dashes outside of ``0 .. size - 1`` are left out.
    """
    on, off = (length * line for length in dash)
    gaps = max(1, round((stop - start - on) / (on + off)))
    step = (stop + 1 - start - on) / gaps
    if step <= on:
        return [(start, stop)]
    first = max(0, math.floor((-start - on) / step))
    last = min(gaps, math.ceil((size - start) / step))
    begins = (round(start + number * step) for number in range(first, last + 1))
    return [(begin, begin + on - 1) for begin in begins]


@lru_cache(4096)
def _width(size: int, text: str) -> int:
    # Cached, because most texts occur again in the next image.
    return round(_font(size).getlength(text))


@lru_cache(1024)
def _letters(size: int, text: str) -> tuple[Image.Image, int, int]:
    """Coverage of each pixel by a text, and its offset (left, top), as letters may overhang.

    Cached, because rendering text is the slowest part of drawing and most texts occur again.
    """
    font = _font(size)
    left, top, right, bottom = (int(side) for side in font.getbbox(text))
    letters = Image.new('L', (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(letters).text((-left, -top), text, fill=255, font=font)
    return letters, left, top


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib, a requirement of mmengine, has a font with Latin, Greek and Cyrillic.
    from matplotlib import get_data_path

    return ImageFont.truetype(osp.join(get_data_path(), 'fonts/ttf/DejaVuSans.ttf'), size)
