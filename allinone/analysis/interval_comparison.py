"""Differences between tested models with intervals, paired by image and nested in seeds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from allinone.errors import ConfigError, DataError
from allinone.evaluation.intervals import (
    RESAMPLINGS,
    Interval,
    Resampling,
    Values,
    Z,
    interval,
    of_values,
    resampled_values,
)
from allinone.io.text import shortened

from .comparison import delta_m
from .tested_groups import Group, check_alike, common_images, common_tasks

DELTA = 'delta_m'
SCORE = 'score'


@dataclass(frozen=True)
class Compared:
    """One group with the intervals of its values, and of their differences to the first group.

    Attributes:
        name: Of the group.
        seeds: Number of its runs.
        values: ``{'TASK/metric', 'score' or 'delta_m': interval}``.
        spreads: Standard deviation of each value over the seeds; empty for one seed.
        differences: The same names; those of the first group are empty.
        unpaired: Smallest difference that the images show between this group and another of which
            nothing is known: as if it had independent errors of the same size.
    """

    name: str
    seeds: int
    values: dict[str, Interval]
    spreads: dict[str, float]
    differences: dict[str, Interval]
    unpaired: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Groups on the images that all have.

    Attributes:
        groups: The first is what the others are compared with.
        images: ``{task: (number of images in all runs, in any run)}``.
        resamplings: Number of data sets drawn.
        against: What delta_m is relative to; None where it is not computed.
        only_images: Groups with too few seeds to draw among them.
    """

    groups: list[Compared]
    images: dict[str, tuple[int, int]]
    resamplings: int
    against: str | None
    only_images: list[str]


def compare(
    groups: Sequence[Group],
    singles: Mapping[str, Group] | None = None,
    metrics: Sequence[str] | None = None,
    lower_is_better: Collection[str] = (),
    resamplings: int = RESAMPLINGS,
    seed: int = 0,
) -> Comparison:
    """Intervals of the groups' values, and of the differences to the first group.

    All runs are resampled alike, so that a difference is of the same images. Where a group has
    three or more seeds, each resampling also draws as many of them, with replacement, and takes
    their mean; with fewer, seeds are averaged and only images are drawn.

    Args:
        groups: One or more; on the tasks and images that all runs have.
        singles: ``{task: its single-task runs}``, what delta_m is relative to; by default that is
            the first group.
        metrics: ``'TASK/metric'`` each; default: the main metrics of the kinds of tasks.
        lower_is_better: Those for which lower is better.
        resamplings: Number of data sets that are drawn.
        seed: Of the draws.

    Raises:
        ConfigError: If a metric or task is not in all runs.
        DataError: If runs have no image in common, or other classes or annotations.
    """
    singles = dict(singles or {})
    runs = list(chain.from_iterable(group.runs for group in groups))
    tasks = common_tasks(runs, singles)
    seen = [run.only(tasks) for run in runs]
    seen += [run.only([task]) for task, group in singles.items() for run in group.runs]
    images = common_images(seen, tasks)
    every = {task: {i for run in seen for i in run.images().get(task, ())} for task in tasks}
    alone = {task: group.on({task: images[task]}) for task, group in singles.items()}
    groups = [group.on(images) for group in groups]
    if any(run.score != runs[0].score for run in runs):
        # Scores of other members or factors say nothing about each other.
        groups = [
            replace(group, runs=[replace(run, score={}) for run in group.runs]) for group in groups
        ]
    check_alike([*chain(*(g.runs for g in groups)), *chain(*(g.runs for g in alone.values()))])
    names = _chosen(groups, alone, metrics, lower_is_better)
    resampling = Resampling(images, resamplings, seed)
    values = [_Resampled(group, resampling, seed, number) for number, group in enumerate(groups)]
    bases: Values = {}
    for number, (task, group) in enumerate(alone.items(), len(groups)):
        found = _Resampled(group, resampling, seed, number).values
        bases |= {name: found[name] for name in names if name.split('/')[0] == task}
    if not singles:
        bases = {name: values[0].values[name] for name in names}
    for number, one in enumerate(values):
        if singles or number:
            one.add_delta_m(bases, lower_is_better)
    return Comparison(
        [_compared(one, values[0], names, bool(singles), lower_is_better) for one in values],
        {task: (len(images[task]), len(every[task])) for task in tasks},
        resamplings,
        None if not singles and len(groups) == 1 else _against(groups, singles),
        _only_images(groups, alone),
    )


def _against(groups: Sequence[Group], singles: Mapping[str, Group]) -> str:
    return 'single-task runs of ' + ', '.join(singles) if singles else groups[0].name


def _only_images(groups: Sequence[Group], singles: Mapping[str, Group]) -> list[str]:
    return [
        *(group.name for group in groups if not group.is_nested),
        *(f'the single-task runs of {t}' for t, group in singles.items() if not group.is_nested),
    ]


class _Resampled:
    """The values of a group: the mean over its seeds, in each resampling."""

    def __init__(self, group: Group, resampling: Resampling, seed: int, number: int):
        self.group = group
        found = [resampled_values(run, resampling) for run in group.runs]
        names = [name for name in found[0] if all(name in one for one in found)]
        self.by_seed = {name: np.stack([one[name] for one in found]) for name in names}
        count = len(group.runs)
        if group.is_nested:
            rng = np.random.default_rng([seed, 1 + number])
            drawn = rng.integers(count, size=(count, resampling.count))
        else:
            drawn = np.broadcast_to(np.arange(count)[:, None], (count, resampling.count))
        picks = np.concatenate([np.arange(count)[:, None], drawn], axis=1)
        self.values: Values = {
            name: np.take_along_axis(seeds, picks, 0).mean(0)
            for name, seeds in self.by_seed.items()
        }

    def add_delta_m(self, bases: Values, lower_is_better: Collection[str]) -> None:
        self.values[DELTA] = _delta_m(self.values, bases, lower_is_better)
        # Of each seed, on the images themselves
        once = {name: base[:1] for name, base in bases.items()}
        self.by_seed[DELTA] = np.stack(
            [
                _delta_m({n: self.by_seed[n][row, :1] for n in bases}, once, lower_is_better)
                for row in range(len(self.group.runs))
            ]
        )

    def spreads(self) -> dict[str, float]:
        """Standard deviation of each value over the seeds."""
        if len(self.group.runs) == 1:
            return {}
        return {name: float(seeds[:, 0].std(ddof=1)) for name, seeds in self.by_seed.items()}


def _compared(
    one: _Resampled,
    first: _Resampled,
    names: Sequence[str],
    with_singles: bool,
    lower_is_better: Collection[str],
) -> Compared:
    shown = [*names, *(name for name in (SCORE, DELTA) if name in one.values)]
    values = of_values(one.values, [name for name in shown if with_singles or name != DELTA])
    differences: Values = {}
    if one is not first:
        differences = {
            name: one.values[name] - first.values[name] for name in shown if name in first.values
        }
        if not with_singles:
            differences[DELTA] = one.values[DELTA]
    spreads = one.spreads()
    return Compared(
        one.group.name,
        len(one.group.runs),
        values,
        {name: spreads[name] for name in shown if np.isfinite(spreads.get(name, np.nan))},
        of_values(differences),
        _unpaired(one.values, values, names, lower_is_better),
    )


def _unpaired(
    values: Values,
    found: Mapping[str, Interval],
    names: Sequence[str],
    lower_is_better: Collection[str],
) -> dict[str, float]:
    r"""Of a value :math:`1.96 \sqrt 2` standard errors; of delta_m, 1.96 of its own."""
    smallest = {name: Z * 2**0.5 * one.error for name, one in found.items() if name != DELTA}
    # A resampling and the next one are independent.
    drawn = {name: values[name][1:] for name in names}
    following = {name: np.roll(part, 1) for name, part in drawn.items()}
    deltas = _delta_m(drawn, following, lower_is_better)
    if (delta := interval(np.append(0.0, deltas))) is not None:
        smallest[DELTA] = Z * delta.error
    return smallest


def _delta_m(values: Values, bases: Values, lower_is_better: Collection[str]) -> NDArray:
    """:func:`~allinone.analysis.comparison.delta_m` of each resampling; NaN where undefined."""
    names = list(bases)
    ours, theirs = (np.stack([part[name] for name in names], 1) for part in (values, bases))
    found = [
        delta_m(dict(zip(names, a)), dict(zip(names, b)), lower_is_better)
        if np.isfinite([a, b]).all()
        else None
        for a, b in zip(ours.tolist(), theirs.tolist())
    ]
    return np.array([np.nan if delta is None else delta for delta in found])


def _chosen(
    groups: Sequence[Group],
    singles: Mapping[str, Group],
    metrics: Sequence[str] | None,
    lower_is_better: Collection[str],
) -> list[str]:
    """The metrics that are compared, which all runs have."""
    runs = [run for group in groups for run in group.runs]
    common = [n for n in runs[0].metric_names() if all(n in run.metric_names() for run in runs)]
    for task, group in singles.items():
        had = [run.metric_names() for run in group.runs]
        common = [n for n in common if n.split('/')[0] != task or all(n in h for h in had)]
    main = runs[0].main_metrics()
    chosen = list(metrics) if metrics else [name for name in common if name in main]
    for option, given in (('--metrics', chosen), ('--lower-is-better', lower_is_better)):
        if unknown := sorted(set(given) - set(common)):
            raise ConfigError(
                f'{option} names {unknown}; the metrics with statistics in all runs are '
                f'{shortened(common, 20)}'
            )
    if not chosen:
        raise DataError(
            f'{runs[0].path} and {runs[-1].path} have no main metric in common; name metrics with '
            f'--metrics, of {shortened(common, 20)}'
        )
    return chosen
