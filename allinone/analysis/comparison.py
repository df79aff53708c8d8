"""Comparison of several runs with each other and with single-task runs."""

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
    """Balancer and logged values of one work dir."""

    name: str
    work_dir: str
    method: str
    training: Records
    validation: Records

    @property
    def tasks(self) -> list[str]:
        """Task names in log order; available before the first validation, too."""
        validated = [key.split('/')[0] for key in common_metrics([self.validation]) if '/' in key]
        return list(dict.fromkeys([*tasks_with(self.training, 'loss'), *validated]))

    @property
    def iterations(self) -> int:
        return max([*self.training, *self.validation])

    @property
    def seconds_per_step(self) -> float | None:
        """Median of the logged ``time``, which validations and the first step do not distort."""
        times = [value for value in series(self.training, 'time')[1] if math.isfinite(value)]
        return statistics.median(times) if times else None

    def values(self, best: bool = False) -> dict[str, float]:
        """Values of the last validation, or of the one with the best score.

        Undefined values (NaN, and COCO's -1) are omitted.
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
    """Read the runs. Their names are their folders, or full paths if folders share a name.

    Raises:
        DataError: If a folder holds no log.
        ConfigError: If the config of a run cannot be read.
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
    """``model.balancer.type`` of the config beside the log of the run's last launch.

    A nested method is in parentheses: ``SmoothedTaskWeights(CAGrad)``.

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
    """Change relative to single-task runs in percent: ``100 * (M - B) / B``.

    Args:
        values: ``{'TASK/metric': M}`` of the joint run.
        single: ``{'TASK/metric': B}`` of the single-task runs.

    Returns:
        ``{'TASK/metric': percent}`` of the metrics in both. Metrics with B = 0 have no relative
        change and are omitted.
    """
    return {
        key: 100 * (values[key] - base) / base
        for key, base in single.items()
        if base > 0 and key in values
    }


def delta_m(
    values: Mapping[str, float], single: Mapping[str, float], lower_is_better: Collection[str] = ()
) -> float | None:
    r"""Change relative to single-task training in percent; LOWER is better, below 0 is a gain.

    .. math:: \Delta_m = \frac{100}{T} \sum_{t=1}^{T} \frac{1}{n_t} \sum_{k=1}^{n_t}
              (-1)^{\delta_{tk}} \frac{M_{tk} - B_{tk}}{B_{tk}}

    T tasks with n_t metrics each; M from the joint run, B from the single-task run; delta is 1 if a
    higher metric is better. `Maninis et al. 2019 <https://arxiv.org/abs/1904.08918>`_, with the
    sign of the later literature (CAGrad, Nash-MTL, FAMO), as in the published values in
    ``docs/balancing.md``. The mean within each task comes first, so that a task with many metrics
    does not count more.

    Args:
        values: ``{'TASK/metric': M}``.
        single: ``{'TASK/metric': B}``, the metrics to compare.
        lower_is_better: Metrics for which lower is better.

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
    """``{'TASK/metric': value}`` of single-task runs, for those of ``metrics`` that they have.

    Raises:
        ConfigError: If a name is not in ``tasks``.
        DataError: If a run has no value for its task.
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
