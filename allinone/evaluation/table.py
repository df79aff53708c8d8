"""Metrics as a table of plain text."""

from collections.abc import Mapping, Sequence

from .intervals import LEVEL, Interval


def format_table(
    metrics: Mapping[str, float], intervals: Mapping[str, Interval] | None = None
) -> str:
    """Task, metric, value: a line for each.

    Args:
        metrics: ``{'TASK/metric' or 'score': value}``.
        intervals: Of some of them, in a further column.
    """
    rows = [('task', 'metric', 'value', f'{LEVEL} % interval')]
    for name, value in metrics.items():
        task, slash, metric = name.partition('/')
        if slash:
            rows.append((task, metric, f'{value:.4f}', _bounds(name, intervals or {})))
    if 'score' in metrics:
        rows.append(('all', 'score', f'{metrics["score"]:.4f}', _bounds('score', intervals or {})))
    return columns(rows if intervals is not None else [row[:3] for row in rows], '<<><')


def _bounds(name: str, intervals: Mapping[str, Interval]) -> str:
    found = intervals.get(name)
    return '-' if found is None else f'{found.low:.4f} to {found.high:.4f}'


def columns(rows: Sequence[Sequence[str]], aligned: str) -> str:
    """Rows of words as lines, with ``<`` or ``>`` for the alignment of each column."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join(
        '  '.join(
            f'{word:{side}{width}}' for word, side, width in zip(row, aligned, widths)
        ).rstrip()
        for row in rows
    )
