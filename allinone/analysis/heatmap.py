"""Heat map of a matrix between tasks, with values as text."""

import math
from collections.abc import Sequence

import numpy as np

from .figure import plain

EMPTY = '0.9'
EXTENDED = {
    (False, False): 'neither',
    (True, False): 'min',
    (False, True): 'max',
    (True, True): 'both',
}


def draw_heatmap(
    axis,
    values: np.ndarray,
    names: Sequence[str],
    title: str,
    cmap: str,
    limits: tuple[float, float],
    form: str,
) -> None:
    """Draw ``values`` ``[K, K]`` into a matplotlib axis.

    Args:
        axis: The matplotlib axis.
        values: The matrix, with at least one number; NaN is a grey square with a dash.
        names: Names of the K rows and columns.
        title: Title above the matrix.
        cmap: Name of a matplotlib colour map.
        limits: Values of its first and last colour; values outside are clipped.
        form: Format of a value's text, such as ``'.2f'``.
    """
    import matplotlib

    colours = matplotlib.colormaps[cmap].with_extremes(bad=EMPTY)
    image = axis.imshow(
        np.ma.masked_invalid(values), cmap=colours, vmin=limits[0], vmax=limits[1], aspect='equal'
    )
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = colours(image.norm(value)) if math.isfinite(value) else (1, 1, 1, 1)
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axis.text(
            column,
            row,
            format(value, form) if math.isfinite(value) else '–',
            ha='center',
            va='center',
            color='white' if dark else 'black',
        )
    labels = [plain(name) for name in names]
    slant = dict(rotation=30, ha='right') if max(map(len, names)) > 8 or len(names) > 6 else {}
    axis.set_xticks(range(len(names)), labels, **slant)
    axis.set_yticks(range(len(names)), labels)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=11)
    beyond = np.nanmin(values) < limits[0], np.nanmax(values) > limits[1]
    axis.figure.colorbar(image, ax=axis, shrink=0.85, extend=EXTENDED[beyond])
