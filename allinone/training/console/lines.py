"""A training's values on one line, and metrics as a table."""

import math
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

GAP = 2
LOWER_IS_BETTER = frozenset('loss error err mae mse rmse fpr fnr eer miss'.split())


class Column(NamedTuple):
    """A part of a line.

    Attributes:
        text: What it says.
        rank: 0 for what always stays; the greatest goes first if the terminal is narrow.
    """

    text: str
    rank: int


def fitted(columns: Sequence[Column], width: int) -> str:
    """The columns that have room, in their order.

    Args:
        columns: In the order of the line.
        width: Columns of the terminal.
    """
    left = list(columns)
    while len(_joined(left)) > width and len(left) > 1:
        least = max(column.rank for column in left)
        left.pop(max(index for index, column in enumerate(left) if column.rank == least))
    return _joined(left)


def _joined(columns: Sequence[Column]) -> str:
    return (' ' * GAP).join(column.text for column in columns).rstrip()


def number(value: float) -> str:
    """Four significant digits, in six columns or more."""
    return f'{f"{value:#.4g}".rstrip("."):<6}'


def lower_is_better(name: str) -> bool:
    """Whether a metric's name tells that less of it is better."""
    return not LOWER_IS_BETTER.isdisjoint(name.lower().replace('/', '_').split('_'))


class Row(NamedTuple):
    """A metric with what it was before.

    Attributes:
        name: ``TASK/metric``, or ``score``.
        value: Now.
        best: Of all validations; None if none was a number.
        change: Since the last one; None if there was none.
    """

    name: str
    value: float
    best: float | None
    change: float | None

    @property
    def is_best(self) -> bool:
        """Whether no earlier validation was better, if there was one."""
        return self.change is not None and self.value == self.best


def row_of(name: str, history: Sequence[float]) -> Row:
    """The row of a metric.

    Args:
        name: ``TASK/metric``.
        history: Its values, the last of which is the current one.
    """
    numbers = [value for value in history if math.isfinite(value)]
    best = min if lower_is_better(name) else max
    change = history[-1] - history[-2] if len(history) > 1 else None
    return Row(name, history[-1], best(numbers) if numbers else None, change)


def metric_table(histories: Mapping[str, Sequence[float]]) -> Table:
    """Task, metric, value, best and change; a value that is the best so far has a star.

    Args:
        histories: Values of all validations, the last one's at the end, by ``TASK/metric``; a
            metric of no task is one of all. Those of single classes, such as ``IoU.road`` beside
            ``mIoU``, are counted and not listed.
    """
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for title in ('task', 'metric'):
        table.add_column(title)
    for title in ('value', '', 'best', 'change'):
        table.add_column(title, justify='left' if not title else 'right')
    before = None
    listed = {name: v for name, v in histories.items() if not _of_a_class(name, histories)}
    for name, history in listed.items():
        task, slash, metric = name.partition('/')
        task, metric = (task, metric) if slash else ('all', name)
        row = row_of(name, history)
        value = Text(f'{row.value:.4f}', 'bold green' if row.is_best else '')
        table.add_row(
            Text('' if task == before else task),
            Text(metric),  # Its brackets are no markup.
            value,
            Text('*', 'bold green') if row.is_best else '',
            '' if row.best is None else f'{row.best:.4f}',
            '' if row.change is None else Text(f'{row.change:+.4f}', _style(name, row.change)),
        )
        before = task
    if rest := len(histories) - len(listed):
        table.add_row('', f'+ {rest} of classes')
    return table


def _of_a_class(name: str, names: Container[str]) -> bool:
    task, _, metric = name.partition('/')
    value, dot, _ = metric.partition('.')
    return bool(dot) and f'{task}/m{value}' in names


def _style(name: str, change: float) -> str:
    if not change or math.isnan(change):
        return ''
    return 'green' if (change < 0) == lower_is_better(name) else 'red'
