"""Figures without a window, written to PNG files as a whole or not at all."""

import os
from pathlib import Path


def new_figure(width: float, height: float):
    """An empty matplotlib figure of so many inches, free of pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, out: str | os.PathLike) -> None:
    """Write a figure as PNG, making its folder."""
    os.makedirs(Path(out).resolve().parent, exist_ok=True)
    figure.savefig(f'{out}.tmp', format='png')
    os.replace(f'{out}.tmp', out)


def plain(text: str) -> str:
    """``text`` for matplotlib, which reads what stands between two dollars as mathematics."""
    return text.replace('$', r'\$')
