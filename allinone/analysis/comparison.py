"""Several runs side by side, and against the tasks trained alone."""

import math
import os
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from allinone.errors import ConfigError, DataError
from allinone.io.renames import rename_keys

from .curves import common_metrics
from .scalars import Records, log_files, read_scalars, series, tasks_with

UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Run:
    """What one work dir tells: how the run was balanced, and what it logged."""

    name: str
    work_dir: str
    method: str
    training: Records
    validation: Records

    @property
    def tasks(self) -> list[str]:
        """In the order of the log; of a run that has not validated, too."""
        validated = [key.split('/')[0] for key in common_metrics([self.validation]) if '/' in key]
        return list(dict.fromkeys([*tasks_with(self.training, 'loss'), *validated]))

    @property
    def iterations(self) -> int:
        return max([*self.training, *self.validation])

    @property
    def seconds_per_step(self) -> float | None:
        """Median of the logged ``time``: no validation or first step weighs on it."""
        times = [value for value in series(self.training, 'time')[1] if math.isfinite(value)]
        return statistics.median(times) if times else None

    def values(self, best: bool = False) -> dict[str, float]:
        """The last validation's values, or those of the one with the best score.

        Values that stand for "none" (NaN, and COCO's -1) are left out.
        """
        scored = {
            step: found['score'] for step, found in self.validation.items() if 'score' in found
        }
        if not self.validation:
            return {}
        at = max(scored, key=scored.__getitem__) if best and scored else max(self.validation)
        return {
            key: value
            for key, value in self.validation[at].items()
            if math.isfinite(value) and value >= 0
        }


def read_runs(work_dirs: Sequence[str | os.PathLike]) -> list[Run]:
    """The runs, named by their folders, or by the whole paths where folders share a name.

    Raises:
        DataError: If a folder holds no log.
        ConfigError: If the config that the run left cannot be read.
    """
    names = [Path(work_dir).resolve().name for work_dir in work_dirs]
    return [
        Run(
            name if names.count(name) == 1 else os.fspath(work_dir),
            os.fspath(work_dir),
            balancer_name(work_dir),
            *read_scalars(work_dir),
        )
        for name, work_dir in zip(names, work_dirs)
    ]


def balancer_name(work_dir: str | os.PathLike) -> str:
    """``model.balancer.type`` of the config that the run's last start left beside its log.

    A method inside another is in brackets: ``SmoothedTaskWeights(CAGrad)``.

    Raises:
        DataError: If the folder holds no log.
        ConfigError: If the config cannot be read.
    """
    path = log_files(work_dir)[-1].with_name('config.py')
    if not path.is_file():
        return UNKNOWN
    try:
        model = Config.fromfile(path, import_custom_modules=False).get('model') or {}
    except Exception as error:
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    rename_keys(model, 'model')
    return _type_of(model.get('balancer') or dict(type='FixedWeights'))


def _type_of(balancer: Mapping) -> str:
    name = str(balancer.get('type', UNKNOWN))
    inner = balancer.get('balancer')
    return f'{name}({_type_of(inner)})' if isinstance(inner, Mapping) else name


def relative_changes(values: Mapping[str, float], single: Mapping[str, float]) -> dict[str, float]:
    """How far from the task alone, in percent of it: ``100 * (M - B) / B``.

    Args:
        values: ``{'TASK/metric': M}`` of the joint run.
        single: ``{'TASK/metric': B}`` of the tasks trained alone.

    Returns:
        ``{'TASK/metric': percent}`` of the metrics of both; one that is 0 alone has no relative
        change and is left out.
    """
    return {
        key: 100 * (values[key] - base) / base
        for key, base in single.items()
        if base > 0 and key in values
    }


def delta_m(
    values: Mapping[str, float], single: Mapping[str, float], lower_is_better: Collection[str] = ()
) -> float | None:
    r"""Change against single-task training in percent; LOWER is better, below 0 beats it.

    .. math:: \Delta_m = \frac{100}{T} \sum_{t=1}^{T} \frac{1}{n_t} \sum_{k=1}^{n_t}
              (-1)^{\delta_{tk}} \frac{M_{tk} - B_{tk}}{B_{tk}}

    T tasks of n_t metrics each; M of the joint run, B of the task alone; delta is 1 where more of
    a metric is better. `Maninis et al. 2019 <https://arxiv.org/abs/1904.08918>`_, with
    the sign of the later literature (CAGrad, Nash-MTL, FAMO), which the published values in
    ``docs/balancing.md`` have. The mean within a task first, so that a task with many metrics does
    not count more.

    Args:
        values: ``{'TASK/metric': M}``.
        single: ``{'TASK/metric': B}``, the metrics to compare.
        lower_is_better: Metrics of which less is better.

    Returns:
        None if ``single`` is empty, or a metric is missing in ``values`` or 0 in ``single``.
    """
    changes = relative_changes(values, single)
    if not single or changes.keys() != single.keys():
        return None
    by_task: dict[str, list[float]] = {}
    for key, change in changes.items():
        worse = change if key in lower_is_better else -change
        by_task.setdefault(key.split('/')[0], []).append(worse)
    return statistics.fmean(map(statistics.fmean, by_task.values()))


def single_values(
    singles: Mapping[str, Run], metrics: Collection[str], tasks: Collection[str], best: bool
) -> dict[str, float]:
    """``{'TASK/metric': value}`` of the tasks trained alone, of those of ``metrics`` they have.

    Raises:
        ConfigError: If a name is none of ``tasks``.
        DataError: If a run has no value of its task.
    """
    found: dict[str, float] = {}
    for task, run in singles.items():
        if task not in tasks:
            raise ConfigError(
                f'--single names the task {task!r}; the compared runs have {sorted(tasks)}'
            )
        values = run.values(best)
        own = {key: values[key] for key in metrics if key.split('/')[0] == task and key in values}
        if not own:
            raise DataError(
                f'--single {task}={run.work_dir}: its validation gives none of '
                f'{[key for key in metrics if key.split("/")[0] == task]}; it gives '
                f'{sorted(key for key in values if "/" in key)}'
            )
        found |= own
    return found
