"""Matplotlib figures without a window, and atomic writing of PNG files."""

import os
from functools import partial

from allinone.io.atomic import write_whole


def new_figure(width: float, height: float):
    """Create an empty matplotlib figure (size in inches) without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, out: str | os.PathLike) -> None:
    """Write a figure as PNG, creating its folder."""
    write_whole(out, partial(figure.savefig, format='png'))


def plain(text: str) -> str:
    """Escape ``text`` for matplotlib, which parses text between two dollar signs as mathematics."""
    return text.replace('$', r'\$')
