"""Data sets inside wrappers (``RepeatDataset``) and concatenations."""

from collections.abc import Iterator
from typing import Any


def wrapped_data_sets(dataset: Any) -> Iterator[Any]:
    """The data sets that a data set wraps or concatenates, innermost; else the data set itself."""
    parts = getattr(dataset, 'datasets', None)
    if parts is None and 'dataset' in getattr(dataset, '__dict__', ()):
        parts = [dataset.dataset]
    if parts is None:
        yield dataset
    else:
        for part in parts:
            yield from wrapped_data_sets(part)
