"""Showing drawings in notebooks, in windows, and where there is neither."""

import base64
import html
import os
import sys
import tempfile
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageShow

THUMBNAIL = 320  # width in pixels


def show_drawing(drawing: np.ndarray, title: str) -> str | None:
    """Show a drawing, uint8 RGB: in a notebook, else in a window, else as a temporary file.

    Returns:
        The path of the file, which is also printed; None if the drawing is shown.
    """
    image = Image.fromarray(drawing)
    if (display := _notebook_display()) is not None:
        display(image)
        return None
    if _has_screen() and ImageShow.show(image, title):
        return None
    with tempfile.NamedTemporaryFile(suffix='.png', prefix='result-', delete=False) as file:
        image.save(file, 'png')
    print(f'no window can be opened here; the drawing is in {file.name}')
    return file.name


def gallery(drawings: Sequence[tuple[str, np.ndarray | None]], more: int) -> str:
    """HTML of small drawings with titles.

    Args:
        drawings: ``(title, uint8 BGR)`` each; None: the title alone.
        more: Number of further drawings, which the text names.
    """
    parts = [_figure(title, drawing) for title, drawing in drawings]
    if more > 0:
        parts.append(f'<p>and {more} more</p>')
    return f'<div>{"".join(parts)}</div>'


def _figure(title: str, drawing: np.ndarray | None) -> str:
    caption = html.escape(title)
    content = f'<figcaption>{caption}</figcaption>'
    if drawing is not None:
        height = max(1, round(len(drawing) * THUMBNAIL / drawing.shape[1]))
        small = cv2.resize(drawing, (THUMBNAIL, height), interpolation=cv2.INTER_AREA)
        data = base64.b64encode(cv2.imencode('.png', small)[1].tobytes()).decode()
        content = f'<img alt="{caption}" src="data:image/png;base64,{data}">{content}'
    return f'<figure style="display:inline-block;margin:4px">{content}</figure>'


def _notebook_display():
    """IPython's ``display`` in a notebook; None elsewhere, also in IPython's terminal."""
    ipython = sys.modules.get('IPython')
    shell = None if ipython is None else ipython.get_ipython()
    # A kernel has one that a terminal has not.
    if shell is None or getattr(shell, 'kernel', None) is None:
        return None
    from IPython.display import display

    return display


def _has_screen() -> bool:
    if sys.platform in ('win32', 'darwin'):
        return True
    return any(os.environ.get(name) for name in ('DISPLAY', 'WAYLAND_DISPLAY'))
