"""Figures without a window, written to PNG files as a whole or not at all."""

import os
from functools import partial

from allinone.io.atomic import write_whole


def new_figure(width: float, height: float):
    """An empty matplotlib figure of so many inches, free of pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, out: str | os.PathLike) -> None:
    """Write a figure as PNG, making its folder."""
    write_whole(out, partial(figure.savefig, format='png'))


def plain(text: str) -> str:
    """``text`` for matplotlib, which reads what stands between two dollars as mathematics."""
    return text.replace('$', r'\$')
