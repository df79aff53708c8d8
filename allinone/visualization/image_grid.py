"""Several drawings in one image: side by side with titles, or as a contact sheet."""

from collections.abc import Sequence

import cv2
import numpy as np

from .annotator import Annotator
from .legend import BACKGROUND, INK


def side_by_side(drawings: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Join drawings ``(title, uint8 RGB (H_i, W_i, 3))`` in a row, below their titles."""
    shortest = min(drawing.shape[:2] for _, drawing in drawings)
    titled = [_with_title(title, drawing, shortest) for title, drawing in drawings]
    gap = max(2, min(shortest) // 100)
    height = max(len(drawing) for drawing in titled)
    row: list[np.ndarray] = []
    for drawing in titled:
        row += [_padded(drawing, height, drawing.shape[1]), _blank(height, gap)]
    return np.concatenate(row[:-1], 1)


def contact_sheet(drawings: Sequence[np.ndarray], columns: int, width: int) -> np.ndarray:
    """Join drawings of any size, resized to ``width`` pixels, row by row."""
    tiles = [
        cv2.resize(
            drawing,
            (width, max(1, round(len(drawing) * width / drawing.shape[1]))),
            interpolation=cv2.INTER_AREA,
        )
        for drawing in drawings
    ]
    gap = max(2, width // 60)
    rows = []
    for start in range(0, len(tiles), columns):
        part = tiles[start : start + columns]
        height = max(len(tile) for tile in part)
        cells = [_padded(tile, height + gap, width + gap) for tile in part]
        rows.append(_padded(np.concatenate(cells, 1), height + gap, columns * (width + gap)))
    return np.concatenate(rows)[:-gap, :-gap]


def _with_title(title: str, drawing: np.ndarray, like: tuple[int, int]) -> np.ndarray:
    annotator = Annotator(drawing[:1, :1], like=like)
    bar = Annotator(_blank(annotator.text_height + 2 * annotator.pad, drawing.shape[1]), like=like)
    bar.text(2 * annotator.pad, annotator.pad, title, INK)
    return np.concatenate([bar.image, drawing])


def _padded(drawing: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pad at the right and bottom."""
    frame = _blank(height, width)
    frame[: len(drawing), : drawing.shape[1]] = drawing
    return frame


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)
