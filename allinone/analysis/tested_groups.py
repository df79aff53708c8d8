"""Tests that are compared: read in groups of seeds, and matched by task and image."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allinone.errors import ConfigError, DataError
from allinone.evaluation.run_statistics import (
    SUFFIX,
    MetricStatistics,
    RunStatistics,
    read_statistics,
)
from allinone.io.text import shortened

# Below, drawing among the seeds would hide how little they tell.
SEEDS_TO_NEST = 3


@dataclass(frozen=True)
class Group:
    """Tests of one config, trained with one or several seeds."""

    name: str
    runs: Sequence[RunStatistics]

    @property
    def is_nested(self) -> bool:
        return len(self.runs) >= SEEDS_TO_NEST

    def on(self, images: Mapping[str, Sequence[str]]) -> 'Group':
        """The group with some tasks, on some of their images."""
        return Group(self.name, [run.only(list(images)).of_images(images) for run in self.runs])


def read_groups(words: Sequence[str]) -> list[Group]:
    """Read ``FILE``, ``NAME=FILE`` or ``NAME=FILE,FILE`` each; a folder stands for its only file.

    Raises:
        ConfigError: If a word has no file, or two groups have one name.
        DataError: If a file cannot be read.
    """
    groups = [_read_group(word) for word in words]
    names = Counter(group.name for group in groups)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ConfigError(
            f'{list(words)} has the name {twice[0]!r} more than once; name the groups, as NAME=FILE'
        )
    return groups


def _read_group(word: str) -> Group:
    name, equals, rest = word.partition('=')
    if os.path.exists(word) or not equals:
        name, rest = '', word
    files = [rest] if os.path.exists(rest) else [part for part in rest.split(',') if part]
    if not files:
        raise ConfigError(f'{word!r} names no file; give FILE, NAME=FILE or NAME=FILE,FILE,...')
    runs = [read_statistics(file) for file in files]
    if len({os.path.realpath(run.path) for run in runs}) < len(runs):
        raise ConfigError(f'{word!r} names a file twice; give one file for each seed')
    return Group(name or Path(files[0]).resolve().name.removesuffix(SUFFIX), runs)


def common_tasks(runs: Sequence[RunStatistics], singles: Mapping[str, Group]) -> list[str]:
    """The tasks that all runs have.

    Args:
        runs: Those to be compared.
        singles: ``{task: its single-task runs}``, of such tasks.

    Raises:
        DataError: If there is none, or a single-task run lacks its task.
        ConfigError: If ``singles`` has another task.
    """
    tasks = [task for task in runs[0].tasks if all(task in run.tasks for run in runs)]
    if not tasks:
        other = next((r for r in runs if not set(r.tasks) & set(runs[0].tasks)), runs[-1])
        raise DataError(
            f'{runs[0].path} has statistics of the tasks {list(runs[0].tasks)}, and '
            f'{other.path} of {list(other.tasks)}; compare tests with a task in common'
        )
    for task, group in singles.items():
        if task not in tasks:
            raise ConfigError(f'--single names the task {task!r}; the compared runs have {tasks}')
        for run in group.runs:
            if task not in run.tasks:
                raise DataError(
                    f'--single {task}={run.path} has statistics of the tasks {list(run.tasks)}; '
                    f'give a test of {task}'
                )
    return tasks


def common_images(runs: Sequence[RunStatistics], tasks: Sequence[str]) -> dict[str, list[str]]:
    """``{task: names}`` of the images that all runs with the task have.

    Raises:
        DataError: If there is none.
    """
    common = {}
    for task in tasks:
        with_task = [(run.path, set(run.images()[task])) for run in runs if task in run.tasks]
        common[task] = sorted(set.intersection(*(images for _, images in with_task)))
        if not common[task]:
            first, images = with_task[0]
            last = next((p for p in with_task[1:] if not images & p[1]), with_task[-1])
            raise DataError(
                f'{first} and {last[0]} have no image of task {task} in common (such as '
                f'{min(images)} and {min(last[1])}); test both on the same images'
            )
    return common


def check_alike(runs: Iterable[RunStatistics]) -> None:
    """Refuse runs of other classes, or of other annotations of the same images.

    Raises:
        DataError: If there are such.
    """
    known: dict[tuple[str, str, str], tuple[str, MetricStatistics]] = {}
    for run in runs:
        for task, parts in run.tasks.items():
            for part in parts:
                for name in part.names.values():
                    key = task, name, part.statistics.form
                    path, other = known.setdefault(key, (run.path, part))
                    if other is not part:
                        _check_pair(task, (path, other), (run.path, part))


def _check_pair(
    task: str, first: tuple[str, MetricStatistics], second: tuple[str, MetricStatistics]
) -> None:
    parts = [part.statistics for _, part in (first, second)]
    classes = [part.options.get('classes') for part in parts]
    if classes[0] != classes[1]:
        raise DataError(
            f'{first[0]} has the classes {shortened(classes[0] or [])} of task {task}, and '
            f'{second[0]} {shortened(classes[1] or [])}; compare tests of the same classes in the '
            'same order'
        )
    orders = [np.argsort(part.images, kind='stable') for part in parts]
    images = parts[0].images[orders[0]]
    labels = [part.labels()[order] for part, order in zip(parts, orders)]
    if labels[0].shape != labels[1].shape:
        raise DataError(
            f'{first[0]} has {len(labels[0])} samples of the common images of task {task}, and '
            f'{second[0]} {len(labels[1])}; test both with the same data set'
        )
    differ = (labels[0] != labels[1]).reshape(len(images), -1).any(1)
    if differ.any():
        raise DataError(
            f'{first[0]} and {second[0]} were tested with different annotations of '
            f'{differ.sum()} of {len(images)} images of task {task}, such as '
            f'{images[differ.argmax()]}; test both with the same annotations'
        )
