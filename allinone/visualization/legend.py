"""The strip below the picture: class labels, and a legend of what is in the mask."""

from collections.abc import Sequence

import numpy as np

from .annotator import Pen
from .palette import Colour

BACKGROUND, INK, MUTED = (24, 26, 30), (240, 240, 240), (150, 155, 165)

# A caption's words: text with the colour of its swatch, or without a swatch
Row = tuple[str, Sequence[tuple[str, Colour | None]]]


def add_strip(image: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
    """``image`` ``(H, W, 3)`` with the rows on a dark strip below, of ``(H + strip, W, 3)``.

    Below the picture, for nothing there is hidden by it and boxes keep their coordinates.

    Args:
        image: uint8 RGB.
        rows: ``(title, entries)`` each; entries that do not fit one line go on in the next.
    """
    if not rows:
        return image
    height, width = image.shape[:2]
    pen = Pen(image[:1, :1], like=(height, width))
    spots, lines = _lay_out(pen, rows, width)
    step = pen.text_height + pen.pad
    strip = np.full((lines * step + 2 * pen.pad, width, 3), BACKGROUND, np.uint8)
    pen = Pen(strip, like=(height, width))
    for x, line, text, colour, ink in spots:
        y = pen.pad + line * step + pen.pad // 2
        if colour is not None:
            side = _swatch(pen)
            top = y + (pen.text_height - side) // 2
            pen.draw.rectangle((x, top, x + side - 1, top + side - 1), fill=colour, outline=INK)
            x += side + pen.pad
        pen.text(x, y, text, ink)
    return np.concatenate([image, pen.image])


def _lay_out(pen: Pen, rows: Sequence[Row], width: int) -> tuple[list, int]:
    """Place the words: ``(x, line, text, swatch, ink)`` each, and the number of lines."""
    margin, gap = 2 * pen.pad, 3 * pen.pad
    spots, line = [], -1
    for title, entries in rows:
        line += 1
        spots.append((margin, line, title, None, MUTED))
        indent = x = margin + pen.width(title) + gap
        for text, colour in entries:
            size = pen.width(text)
            size += _swatch(pen) + pen.pad if colour is not None else 0
            if x + size > width - margin and x > indent:
                line, x = line + 1, indent
            spots.append((x, line, text, colour, INK))
            x += size + gap
    return spots, line + 1


def _swatch(pen: Pen) -> int:
    return round(0.75 * pen.text_height)
