"""Plots of the parts of an analysis."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..figure import new_figure, plain, save_figure

MOST_LINES = 10  # of classes with names; of more, all are grey
MOST_NUMBERS = 12  # classes of a matrix with numbers
LONGEST_NAME = 24


def draw_part(part: Mapping[str, Any], out: str | os.PathLike) -> None:
    """Draw a part as PNG.

    Args:
        part: As of ``Part.to_json``, of a form in :data:`DRAWN`.
        out: The file.
    """
    DRAWN[part['form']](part, out)


def _matrix(part: Mapping[str, Any], out: str | os.PathLike) -> None:
    values = np.array(part['values'], float)
    totals = values.sum(1, keepdims=True)
    shares = np.divide(100 * values, totals, out=np.full_like(values, np.nan), where=totals > 0)
    rows, columns = values.shape
    side = min(9.0, max(3.6, 0.55 * columns + 1.2))
    figure = new_figure(side + 0.8, side * rows / columns + 0.4)
    axis = figure.subplots()
    colours = _map('Blues').with_extremes(bad='0.93')
    image = axis.imshow(np.ma.masked_invalid(shares), cmap=colours, vmin=0, vmax=100)
    if max(rows, columns) <= MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if values[row, column]:
                text = f'{share:.0f}' if share >= 0.5 else '<1'
                ink = 'white' if share > 55 else 'black'
                axis.text(column, row, text, ha='center', va='center', color=ink, fontsize=9)
    size = 9 if max(rows, columns) <= 25 else 6
    slant = dict(rotation=45, ha='right', rotation_mode='anchor')
    axis.set_xticks(range(columns), _names(part['columns']), fontsize=size, **slant)
    axis.set_yticks(range(rows), _names(part['rows']), fontsize=size)
    axis.tick_params(length=0)
    axis.set_xlabel('prediction')
    axis.set_ylabel('ground truth')
    axis.set_title(plain(part['title']) + ', % of each row', fontsize=11)
    figure.colorbar(image, ax=axis, shrink=0.8)
    save_figure(figure, out)


def _curves(part: Mapping[str, Any], out: str | os.PathLike) -> None:
    lines = part['lines']
    named = len(lines) <= MOST_LINES
    figure = new_figure(5.4, 4.2)
    axis = figure.subplots()
    for name, values in lines.items():
        style = dict(label=_name(name), alpha=0.9) if named else dict(color='0.75', alpha=0.6)
        axis.plot(part['x'], _numbers(values), linewidth=1.2, **style)
    if len(lines) != 1:
        label = 'mean' if named else f'mean of {len(lines)} classes'
        axis.plot(part['x'], _numbers(part['mean']), color='black', linewidth=2.4, label=label)
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_xlabel(part['x_label'])
    axis.set_ylabel(part['y_label'])
    axis.set_title(plain(part['title']), fontsize=11)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc='best')
    save_figure(figure, out)


def _reliability(part: Mapping[str, Any], out: str | os.PathLike) -> None:
    counts = np.array(part['counts'])
    edges = np.linspace(0, 1, len(counts) + 1)
    accuracy, confidence = _numbers(part['accuracy']), _numbers(part['confidence'])
    figure = new_figure(5.4, 4.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = edges[1]
    upper.bar(edges[:-1], np.nan_to_num(accuracy), width, align='edge', edgecolor='white')
    upper.plot([0, 1], [0, 1], color='0.4', linestyle='--', linewidth=1, label='calibrated')
    shown = counts > 0
    upper.plot(confidence[shown], accuracy[shown], 'o', color='black', markersize=4, label='bins')
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    upper.set_ylabel('share of right predictions')
    ece = '' if part['ece'] is None else f', ECE {part["ece"]:.1f} %'
    upper.set_title(plain(part['title']) + ece, fontsize=11)
    upper.legend(fontsize=8, loc='upper left')
    lower.bar(edges[:-1], counts, width, align='edge', color='0.6', edgecolor='white')
    lower.set_ylabel('count')
    lower.set_xlabel('score')
    save_figure(figure, out)


def _histogram(part: Mapping[str, Any], out: str | os.PathLike) -> None:
    filled = np.flatnonzero(part['counts'])
    shown = slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, len(part['counts']))
    counts = np.array(part['counts'])[shown]
    edges = np.array(part['edges'], float)[shown.start : shown.stop + 1]
    figure = new_figure(5.4, 3.4)
    axis = figure.subplots()
    axis.bar(edges[:-1], counts, np.diff(edges), align='edge', edgecolor='white')
    if part['log']:
        axis.set_xscale('log', base=2)
        axis.set_xticks(edges, [f'{edge:g}' for edge in edges])
    axis.set_xlabel(part['x_label'])
    axis.set_ylabel(part['y_label'])
    axis.set_title(plain(part['title']), fontsize=11)
    save_figure(figure, out)


DRAWN: dict[str, Callable[[Mapping[str, Any], str | os.PathLike], None]] = dict(
    matrix=_matrix, curves=_curves, reliability=_reliability, histogram=_histogram
)


def _map(name: str):
    import matplotlib

    return matplotlib.colormaps[name]


def _numbers(values) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)


def _names(names) -> list[str]:
    return [_name(name) for name in names]


def _name(name: str) -> str:
    return plain(name if len(name) <= LONGEST_NAME else f'{name[: LONGEST_NAME - 1]}…')
