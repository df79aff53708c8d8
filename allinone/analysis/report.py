"""HTML report of one or several runs: curves, conflicts, and a comparison table."""

import base64
import math
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from allinone.errors import ConfigError, DataError
from allinone.io.atomic import write_whole

from .comparison import Run, delta_m, read_runs, relative_changes, single_values
from .conflicts import plot_conflicts
from .curves import common_metrics, draw_curves, plot_validations
from .evaluation.page import class_tables
from .evaluation.stored import IN_WORK_DIR, read_evaluation
from .report_page import render

LONGEST_NAME = 80
NO_CONFLICTS = (
    'No two gradients were compared: model.grad_similarity_interval is 0, there is one task, or '
    'the schedule names one task a step.'
)
NO_EVALUATION = (
    'Tables and curves of the predictions: run tools/analyze.py evaluate CONFIG CHECKPOINT with a '
    'checkpoint of this work dir, and write the report again.'
)


def write_report(
    work_dirs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    singles: Mapping[str, str | os.PathLike] | None = None,
    best: bool = False,
    lower_is_better: Collection[str] = (),
) -> list[str]:
    """Write a self-contained page, and its images as PNGs in a folder beside it.

    Args:
        work_dirs: Work dirs of the runs to compare, at least one; finished or running.
        out: The HTML file; ``report.html`` has its images in ``report_images/``.
        singles: ``{task: work dir}`` of single-task runs, for delta_m.
        best: Use the values of each run's validation with the best score, not of its last one.
        lower_is_better: ``'TASK/metric'`` names for which lower is better.

    Returns:
        The paths of the images.

    Raises:
        DataError: If a folder has no log, or a single-task run has no value for its task.
        ConfigError: If ``singles`` or ``lower_is_better`` have a name that is in no run.
    """
    out = Path(out)
    runs = read_runs(work_dirs)
    single_runs = dict(zip(singles or (), read_runs(list((singles or {}).values()))))
    metrics = common_metrics(run.validation for run in runs)
    tasks = list(dict.fromkeys(task for run in runs for task in run.tasks))
    unknown = sorted(set(lower_is_better) - set(metrics))
    if unknown:
        raise ConfigError(f'--lower-is-better names {unknown}; the metrics are {sorted(metrics)}')
    alone = single_values(single_runs, metrics, tasks, best)
    images = _Images(out)
    evaluations = {run.name: _evaluation(run) for run in runs}
    sections = [
        _section(index, run, images, evaluations[run.name]) for index, run in enumerate(runs, 1)
    ]
    validations = {run.name: run.validation for run in runs}
    overview = (
        images.add('validation', lambda path: plot_validations(validations, path))
        if len(runs) > 1 and metrics
        else None
    )
    page = render(
        title=', '.join(run.name for run in runs),
        written=time.strftime('%Y-%m-%d %H:%M'),
        metrics=[key for key in metrics if key != 'score'],
        scored='score' in metrics,
        rows=[
            *(
                _row(run, f'{task} alone', _of_task(run.values(best), task), metrics)
                for task, run in single_runs.items()
            ),
            *(_joint_row(run, metrics, alone, best, lower_is_better) for run in runs),
        ],
        singles=list(single_runs),
        without_base=sorted(key for key, value in alone.items() if not value > 0),
        best=best,
        overview=overview,
        class_tables=class_tables({run: found for run, found in evaluations.items() if found}),
        sections=sections,
    )
    write_whole(out, page.encode())
    return images.paths


class _Images:
    """Draws PNG files into the page's folder, and returns them in embeddable form."""

    def __init__(self, out: Path):
        self.folder = out.with_name(f'{out.stem}_images')
        self.paths: list[str] = []

    def add(self, name: str, draw) -> str:
        path = self.folder / f'{name}.png'
        draw(path)
        self.paths.append(str(path))
        return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()


def _evaluation(run: Run) -> dict | None:
    return read_evaluation(Path(run.work_dir) / IN_WORK_DIR)


def _section(index: int, run: Run, images: _Images, evaluation: dict | None) -> dict:
    name = f'{index}_{re.sub(r"[^A-Za-z0-9_.-]+", "_", run.name)[-LONGEST_NAME:]}'
    curves = images.add(
        f'{name}_curves',
        lambda path: draw_curves(run.training, run.validation, path, run.name),
    )
    try:
        conflicts = images.add(f'{name}_conflicts', lambda path: plot_conflicts(run.training, path))
    except DataError:
        conflicts = None
    return dict(
        name=run.name,
        work_dir=run.work_dir,
        method=run.method,
        tasks=run.tasks,
        iterations=run.iterations,
        curves=curves,
        conflicts=conflicts,
        no_conflicts=NO_CONFLICTS,
        evaluation=evaluation,
        no_evaluation=NO_EVALUATION,
    )


def _of_task(values: Mapping[str, float], task: str) -> dict[str, float]:
    return {key: value for key, value in values.items() if key.split('/')[0] == task}


def _joint_row(
    run: Run,
    metrics: Mapping[str, float],
    alone: Mapping[str, float],
    best: bool,
    lower_is_better: Collection[str],
) -> dict:
    values = run.values(best)
    changes = relative_changes(values, alone)
    return _row(run, run.method, values, metrics, changes, delta_m(values, alone, lower_is_better))


def _row(
    run: Run,
    method: str,
    values: Mapping[str, float],
    metrics: Mapping[str, float],
    changes: Mapping[str, float] | None = None,
    delta: float | None = None,
) -> dict:
    cells = [
        (
            _number(values.get(key), factor),
            _number((changes or {}).get(key), 1, '+.1f'),
        )
        for key, factor in metrics.items()
        if key != 'score'
    ]
    return dict(
        name=run.name,
        method=method,
        iterations=run.iterations,
        cells=cells,
        score=_number(values.get('score'), metrics.get('score', 1)),
        delta=_number(delta, 1, '+.2f'),
        seconds=_number(run.seconds_per_step, 1, '.3g'),
    )


def _number(value: float | None, factor: float, form: str = '.2f') -> str | None:
    if value is None or not math.isfinite(value):
        return None
    text = format(factor * value, form)
    return text.replace('-', '') if float(text) == 0 else text
