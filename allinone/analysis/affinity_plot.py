"""Heat map of inter-task affinities."""

import os
from collections.abc import Mapping

import numpy as np

from .figure import new_figure, save_figure
from .heatmap import draw_heatmap


def plot_affinity(found: Mapping, out: str | os.PathLike) -> None:
    """Draw the result of ``measure_affinity`` as a heat map in one PNG.

    The colour range covers only pairs of different tasks, because a step helps its own task most.
    """
    values = 100 * np.array(found['affinity'])
    highest = np.abs(values[~np.eye(len(values), dtype=bool)]).max() or 1.0
    side = 2.6 + 0.75 * len(values)
    figure = new_figure(side + 1.2, side)
    axis = figure.subplots()
    draw_heatmap(
        axis,
        values,
        found['tasks'],
        "Inter-task affinity: fall of the column's loss in %\nafter a step for the row's task",
        'RdBu',
        (-highest, highest),
        '+.2g',
    )
    axis.set_xlabel('loss of')
    axis.set_ylabel('step for')
    save_figure(figure, out)
