"""The strip below the image: class labels, and a legend of what is in the mask."""

from collections.abc import Sequence

import numpy as np

from .annotator import Annotator
from .palette import Colour

BACKGROUND, INK, MUTED = (24, 26, 30), (240, 240, 240), (150, 155, 165)

# A caption's words: text with the colour of its swatch, or without a swatch
Row = tuple[str, Sequence[tuple[str, Colour | None]]]


def add_strip(image: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
    """``image`` ``(H, W, 3)`` with the rows on a dark strip below, of ``(H + strip, W, 3)``.

    Below the image, for nothing there is hidden by it and boxes keep their coordinates.

    Args:
        image: uint8 RGB.
        rows: ``(title, entries)`` each; entries that do not fit one line go on in the next.
    """
    if not rows:
        return image
    height, width = image.shape[:2]
    annotator = Annotator(image[:1, :1], like=(height, width))
    spots, lines = _lay_out(annotator, rows, width)
    step = annotator.text_height + annotator.pad
    strip = np.full((lines * step + 2 * annotator.pad, width, 3), BACKGROUND, np.uint8)
    annotator = Annotator(strip, like=(height, width))
    for x, line, text, colour, ink in spots:
        y = annotator.pad + line * step + annotator.pad // 2
        if colour is not None:
            side = _swatch(annotator)
            top = y + (annotator.text_height - side) // 2
            annotator.draw.rectangle(
                (x, top, x + side - 1, top + side - 1), fill=colour, outline=INK
            )
            x += side + annotator.pad
        annotator.text(x, y, text, ink)
    return np.concatenate([image, annotator.image])


def _lay_out(annotator: Annotator, rows: Sequence[Row], width: int) -> tuple[list, int]:
    """Place the words: ``(x, line, text, swatch, ink)`` each, and the number of lines."""
    margin, gap = 2 * annotator.pad, 3 * annotator.pad
    spots: list[tuple[int, int, str, Colour | None, Colour]] = []
    line = -1
    for title, entries in rows:
        line += 1
        spots.append((margin, line, title, None, MUTED))
        indent = x = margin + annotator.width(title) + gap
        for text, colour in entries:
            size = annotator.width(text)
            size += _swatch(annotator) + annotator.pad if colour is not None else 0
            if x + size > width - margin and x > indent:
                line, x = line + 1, indent
            spots.append((x, line, text, colour, INK))
            x += size + gap
    return spots, line + 1


def _swatch(annotator: Annotator) -> int:
    return round(0.75 * annotator.text_height)
