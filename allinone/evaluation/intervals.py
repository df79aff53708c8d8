r"""Confidence intervals of metrics, by the bootstrap over images.

A data set of the same size is drawn from the tested images, with replacement, many times (Efron,
`Bootstrap Methods <https://doi.org/10.1214/aos/1176344552>`_, 1979), and each metric is computed of
each of them. The interval holds the middle 95 % of the values. An image that several tasks have is
drawn for all of them at once, and images that the same tasks have are drawn among each other, so
that each task has as many images as before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .run_statistics import RunStatistics
from .score import combined_score

RESAMPLINGS = 1000
LEVEL = 95
Z = 1.959963984540054  # Of a normal distribution, the middle 95 % lie within Z standard deviations.
Values = dict[str, NDArray]


@dataclass(frozen=True)
class Interval:
    """A value with its interval, in the units of the value.

    Attributes:
        value: Of the images themselves.
        low: Lower bound.
        high: Upper bound.
        error: Standard error, the standard deviation over the resamplings.
    """

    value: float
    low: float
    high: float
    error: float

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0 <= self.high

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


class Resampling:
    """How often each image comes in each of the data sets; the first one has each image once.

    Args:
        images: ``{task: names of its images}``.
        resamplings: Number of data sets that are drawn.
        seed: Of the draws, which depend on it and the names alone.
    """

    def __init__(
        self,
        images: Mapping[str, Sequence[str]],
        resamplings: int = RESAMPLINGS,
        seed: int = 0,
    ):
        tasks: dict[str, set[str]] = {}
        for task, names in images.items():
            for name in names:
                tasks.setdefault(name, set()).add(task)
        self.names = np.array(sorted(tasks))
        self.count = resamplings
        self._counts = np.ones((len(self.names), 1 + resamplings), np.int32)
        rng = np.random.default_rng(seed)
        groups: dict[tuple[str, ...], list[int]] = {}
        for row, name in enumerate(self.names):
            groups.setdefault(tuple(sorted(tasks[str(name)])), []).append(row)
        for _, rows in sorted(groups.items()):
            drawn = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), resamplings)
            self._counts[rows, 1:] = drawn.T

    def weights(self, images: NDArray) -> NDArray:
        """``(N, 1 + resamplings)`` of rows with these names of images."""
        return self._counts[np.searchsorted(self.names, images)]


def resampled_values(run: RunStatistics, resampling: Resampling) -> Values:
    """``{'TASK/metric' or 'score': (1 + resamplings,)}``; the first is that of the images.

    Args:
        run: Its images are among those of ``resampling``.
        resampling: The data sets.
    """
    found: Values = {}
    for task, parts in run.tasks.items():
        for part in parts:
            values = part.statistics.metrics(resampling.weights(part.statistics.images))
            found |= {f'{task}/{name}': values[own] for own, name in part.names.items()}
    if set(run.score) <= set(found):
        found |= combined_score(found, run.score, 'score')  # type: ignore[arg-type]
    return found


def interval(values: NDArray) -> Interval | None:
    """The interval of resampled values; None if most of them, or the first, are undefined."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or 2 * len(drawn) <= len(values) - 1:
        return None
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    error = float(drawn.std(ddof=1)) if len(drawn) > 1 else 0.0
    return Interval(float(values[0]), float(low), float(high), error)


def intervals(
    run: RunStatistics, resamplings: int = RESAMPLINGS, seed: int = 0
) -> dict[str, Interval]:
    """The interval of each metric of a test that has one, and of its score.

    Args:
        run: Of one test.
        resamplings: Number of data sets that are drawn.
        seed: Of the draws.
    """
    return of_values(resampled_values(run, Resampling(run.images(), resamplings, seed)))


def of_values(values: Values, names: Iterable[str] | None = None) -> dict[str, Interval]:
    """The intervals of those of the values that have one."""
    found = {name: interval(values[name]) for name in (values if names is None else names)}
    return {name: one for name, one in found.items() if one is not None}
