"""The table of thresholds and labels that the tool prints."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from allinone.tasks.pseudo_labels import ClassRule, LabelledImage, PseudoLabels

Row = tuple[str, ...]
TITLES: Row = ('task', 'class', 'held out', 'threshold', 'precision', 'labels', 'ignored')
NAMES = 2  # Columns of words, aligned to the left


def count_labels(form: PseudoLabels, images: Iterable[LabelledImage]) -> dict[str, tuple[int, int]]:
    """``{class: (labels, ignored ones)}`` of all images."""
    labels: Counter = Counter()
    ignored: Counter = Counter()
    for image in images:
        for name, (made, doubtful) in form.counts(image.result).items():
            labels[name] += made
            ignored[name] += doubtful
    return {name: (labels[name], ignored[name]) for name in form.classes}


def rows_of(
    task: str,
    classes: Sequence[str],
    rules: Sequence[ClassRule],
    counts: Mapping[str, tuple[int, int]],
) -> list[Row]:
    """A row of the table for each class of a task."""
    return [
        (task, name, str(rule.held_out), *_threshold(rule), *map(str, counts[name]))
        for name, rule in zip(classes, rules, strict=True)
    ]


def table_of(rows: Sequence[Row]) -> str:
    """The text of the table."""
    table = [TITLES, *rows]
    widths = [max(map(len, column)) for column in zip(*table)]
    return '\n'.join(
        '  '.join(
            cell.ljust(width) if number < NAMES else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in table
    )


def _threshold(rule: ClassRule) -> tuple[str, str]:
    if rule.label is None:
        return '-', '-'
    ignore = f' / {rule.ignore.score:.3f}' if rule.ignore else ''
    precision = f'{rule.label.precision:.3f} of {rule.label.predictions}'
    return f'{rule.label.score:.3f}{ignore}', precision
