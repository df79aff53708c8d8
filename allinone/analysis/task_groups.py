"""Grouping of tasks for joint training by their affinities."""

from collections.abc import Iterator, Mapping

import numpy as np

EXHAUSTIVE = 8  # tasks; 4,140 partitions

Groups = list[list[int]]


def best_groups(affinity: np.ndarray) -> dict[int, tuple[float, Groups]]:
    """For each number of groups, find the partition of the tasks with the highest total affinity.

    A task's affinity in a group is the mean affinity of the other members onto it, and 0 if it is
    alone. The total is the sum over all tasks. For up to 8 tasks, all partitions are compared. For
    more, the search begins with single tasks and repeatedly merges the two groups whose union has
    the highest total; this may miss the optimum.

    Args:
        affinity: ``[K, K]``, from the row's task onto the column's; the diagonal is not used.

    Returns:
        ``{number of groups: (total, groups)}``; a group is a list of task indices.
    """
    tasks = range(len(affinity))
    candidates = _partitions(list(tasks)) if len(tasks) <= EXHAUSTIVE else _merges(affinity)
    best: dict[int, tuple[float, Groups]] = {}
    for groups in candidates:
        total = total_affinity(affinity, groups)
        if len(groups) not in best or total > best[len(groups)][0]:
            best[len(groups)] = (total, sorted(groups))
    return dict(sorted(best.items()))


def total_affinity(affinity: np.ndarray, groups: Groups) -> float:
    """Total affinity, which :func:`best_groups` maximises."""
    return float(
        sum(
            np.mean([affinity[other, task] for other in group if other != task])
            for group in groups
            if len(group) > 1
            for task in group
        )
    )


def suggestion(best: Mapping[int, tuple[float, Groups]]) -> Groups:
    """Partition of :func:`best_groups` with the highest total; on ties, the fewest groups."""
    return max(best.values(), key=lambda found: (found[0], -len(found[1])))[1]


def _partitions(tasks: list[int]) -> Iterator[Groups]:
    if not tasks:
        yield []
        return
    first, *rest = tasks
    for groups in _partitions(rest):
        yield [[first], *groups]
        for index, group in enumerate(groups):
            yield [*groups[:index], [first, *group], *groups[index + 1 :]]


def _merges(affinity: np.ndarray) -> Iterator[Groups]:
    groups = [[task] for task in range(len(affinity))]
    yield groups
    while len(groups) > 1:
        unions = [
            [*(group for k, group in enumerate(groups) if k not in (i, j)), groups[i] + groups[j]]
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
        ]
        groups = max(unions, key=lambda union: total_affinity(affinity, union))
        yield [sorted(group) for group in groups]
