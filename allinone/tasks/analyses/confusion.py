"""Confusion matrices and the most frequent confusions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .parts import Matrix, Part, Table

LARGEST = 60  # classes of a matrix; of more there are the confusions alone
CONFUSIONS = 15


def confusion_parts(
    values: NDArray, rows: Sequence[str], columns: Sequence[str], what: str, note: str
) -> list[Part]:
    """The matrix, if it can be read, and the pairs that are most often confused.

    Args:
        values: ``(R, C)`` counts; ground truth in rows, predictions in columns. A row and a column
            of one index are the same class.
        rows: Names of the rows.
        columns: Names of the columns.
        what: What is counted.
        note: How.
    """
    parts: list[Part] = []
    if len(rows) <= LARGEST:
        parts.append(Matrix('Confusion matrix', list(rows), list(columns), values.tolist(), note))
    wrong = values.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind='stable')[:CONFUSIONS]
    of_row = values.sum(1)
    pairs = [
        [rows[i], columns[j], int(wrong[i, j]), 100 * float(wrong[i, j]) / float(of_row[i])]
        for i, j in zip(*np.unravel_index(order, wrong.shape))
        if wrong[i, j]
    ]
    if pairs:
        parts.append(
            Table(
                'Most frequent confusions',
                {'Ground truth': '', 'Prediction': '', what: ',d', '% of the row': '.1f'},
                pairs,
                note,
            )
        )
    return parts
