"""A run's curves: losses, weights and gradients of the tasks, and the validation metrics."""

import math
import os
from pathlib import Path

from .scalars import Records, read_scalars, series

MAIN_METRICS = ('top1', 'bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'mAP', 'mIoU')
NOT_METRICS = ('data_time', 'time', 'step')
STYLES = ('-', '--', ':', '-.')
MARKERS = ('o', 's', '^', 'D')
MANY_DECADES = 30.0


def plot_curves(work_dir: str | os.PathLike, out: str | os.PathLike) -> None:
    """Draw the curves of a training, also of one that is running, into one PNG.

    Panels: the tasks' losses, their weights, the norms of their trunk gradients (where they were
    logged), and the main validation metrics in percent, over iterations.

    Args:
        work_dir: The run's work dir; resumed runs are put together.
        out: The PNG file.

    Raises:
        DataError: If the folder holds no log of a training.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    training, validation = read_scalars(work_dir)
    names = main_metrics(validation)
    panels = [
        (title, label, suffix, tasks)
        for title, label, suffix in (
            ('Task losses', 'loss', 'loss'),
            ('Task weights', 'weight', 'weight'),
            ("Norms of the tasks' trunk gradients", 'L2 norm', 'grad_norm'),
        )
        if (tasks := _tasks_with(training, suffix))
    ]
    count = len(panels) + bool(names)
    columns = 2 if count > 1 else 1
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(7 * columns, 4.2 * rows), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).flat
    colours = _task_colours(training, validation)
    for axis, (title, label, suffix, tasks) in zip(axes, panels):
        _draw_tasks(axis, training, suffix, tasks, colours)
        _finish(axis, title, label)
    if names:
        axis = axes[len(panels)]
        _draw_metrics(axis, validation, names, colours)
        _finish(axis, 'Validation', 'percent')
    for axis in axes[count:]:
        axis.set_visible(False)
    for axis in axes[max(count - columns, 0) : count]:
        axis.set_xlabel('iteration')
        axis.tick_params(labelbottom=True)
    figure.suptitle(Path(work_dir).resolve().name, fontweight='bold')
    os.makedirs(Path(out).resolve().parent, exist_ok=True)
    figure.savefig(f'{out}.tmp', format='png')
    os.replace(f'{out}.tmp', out)


def main_metrics(validation: Records) -> dict[str, float]:
    """``{key: factor to percent}`` of the score and each task's main metrics.

    COCO gives fractions where the other libraries give percent, and no unit is logged: average
    precisions of which none exceeds 1 are taken for fractions, as is a score.
    """
    keys = dict.fromkeys(
        key for record in validation.values() for key in record if key not in NOT_METRICS
    )
    by_task: dict[str, list[str]] = {}
    for key in keys:
        task, slash, _ = key.partition('/')
        if slash:
            by_task.setdefault(task, []).append(key)
    chosen = []
    for members in by_task.values():
        main = [key for key in members if key.rsplit('/', 1)[-1] in MAIN_METRICS]
        chosen += main or members[:1]
    chosen += ['score'] if 'score' in keys else []
    return {key: _to_percent(key, series(validation, key)[1]) for key in chosen}


def _to_percent(key: str, values: list[float]) -> float:
    fraction = ('mAP' in key or key == 'score') and not any(value > 1 for value in values)
    return 100.0 if fraction else 1.0


def _tasks_with(training: Records, suffix: str) -> list[str]:
    """Tasks of which ``TASK/suffix`` was logged."""
    keys = dict.fromkeys(key for record in training.values() for key in record)
    return [key[: -len(suffix) - 1] for key in keys if key.endswith(f'/{suffix}')]


def _task_colours(training: Records, validation: Records) -> dict[str, str]:
    tasks = dict.fromkeys(_tasks_with(training, 'loss'))
    tasks |= dict.fromkeys(key.split('/')[0] for key in main_metrics(validation) if '/' in key)
    return {task: f'C{index % 10}' for index, task in enumerate(tasks)}


def _draw_tasks(axis, training: Records, suffix: str, tasks: list[str], colours: dict) -> None:
    lowest, highest = math.inf, 0.0
    for index, task in enumerate(tasks):
        steps, values = series(training, f'{task}/{suffix}')
        # Equal weights lie on one another: dashes let the one below show through.
        axis.plot(
            steps,
            values,
            STYLES[index % 4] if suffix == 'weight' else '-',
            marker='.' if len(steps) < 3 else None,
            color=colours.get(task),
            label=task,
            linewidth=1.6,
        )
        finite = [value for value in values if math.isfinite(value)]
        lowest, highest = min([lowest, *finite]), max([highest, *finite])
    if 0 < lowest and highest > MANY_DECADES * lowest:
        axis.set_yscale('log')
    elif lowest >= 0:
        axis.set_ylim(bottom=0)


def _draw_metrics(axis, validation: Records, names: dict[str, float], colours: dict) -> None:
    drawn: dict[str, int] = {}
    axis.set_ylim(0, 100)
    for key, factor in names.items():
        steps, values = series(validation, key)
        # COCO's -1 stands for "no such box in the annotations".
        values = [factor * value if value >= 0 else math.nan for value in values]
        task = key.split('/')[0]
        drawn[task] = drawn.get(task, -1) + 1
        style = STYLES[drawn[task] % 4]
        score = key == 'score'
        axis.plot(
            steps,
            values,
            '-' if score else style,
            marker=MARKERS[drawn[task] % 4],
            markersize=5,
            color='black' if score else colours.get(task),
            label=key,
            linewidth=2.4 if score else 1.6,
        )
        if any(value > 100 for value in values):
            axis.autoscale(axis='y')  # a metric of one's own that is not in percent


def _finish(axis, title: str, label: str) -> None:
    axis.set_title(title, fontsize=11)
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, framealpha=0.85)
    axis.spines[['top', 'right']].set_visible(False)
