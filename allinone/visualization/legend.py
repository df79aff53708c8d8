"""Strip below the image with class labels and a legend of the mask."""

from collections.abc import Sequence

import numpy as np

from .annotator import Annotator
from .palette import Colour

BACKGROUND, INK, MUTED = (24, 26, 30), (240, 240, 240), (150, 155, 165)

# A title, and entries (text, colour of its swatch; None: no swatch)
Row = tuple[str, Sequence[tuple[str, Colour | None]]]


def add_strip(image: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
    """``image`` ``(H, W, 3)`` with the rows on a dark strip below, ``(H + strip, W, 3)``.

    A strip below the image hides nothing and does not change the coordinates of boxes.

    Args:
        image: uint8 RGB.
        rows: ``(title, entries)`` each; entries that do not fit in a line continue in the next.
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
    """Place the texts: ``(x, line, text, swatch, ink)`` each, and the number of lines."""
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
