"""Curves of a run: losses, weights and gradients of the tasks, and validation metrics."""

import math
import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from allinone.errors import DataError
from allinone.registry.kinds import registered_kinds

from .figure import new_figure, plain, save_figure
from .scalars import Records, changes, read_scalars, series, task_pairs, tasks_with

NOT_METRICS = ('data_time', 'time', 'step')
STYLES = ('-', '--', ':', '-.')
MARKERS = ('o', 's', '^', 'D')
MANY_DECADES = 30.0
MANY_PAIRS = 10


def plot_curves(work_dir: str | os.PathLike, out: str | os.PathLike) -> None:
    """Draw the curves of a finished or running training in one PNG.

    Panels: the tasks' losses, their weights, the norms of their backbone gradients and the cosines
    between them (if logged), and the main validation metrics in percent, over iterations.

    Args:
        work_dir: The run's work dir; logs of resumed runs are joined.
        out: The PNG file.

    Raises:
        DataError: If the folder has no training log with tasks.
    """
    training, validation = read_scalars(work_dir)
    draw_curves(training, validation, out, Path(work_dir).resolve().name)


def draw_curves(training: Records, validation: Records, out: str | os.PathLike, title: str) -> None:
    """As :func:`plot_curves`, from the records of :func:`read_scalars`.

    Raises:
        DataError: If they contain nothing to draw.
    """
    names = main_metrics(validation)
    colours = _task_colours(training, validation)
    panels: list[tuple[Callable[..., None], tuple, tuple[str, str]]] = [
        (_draw_tasks, (training, suffix, tasks, colours), (heading, label))
        for heading, label, suffix in (
            ('Task losses', 'loss', 'loss'),
            ('Task weights', 'weight', 'weight'),
            ("Norms of the tasks' backbone gradients", 'L2 norm', 'grad_norm'),
        )
        if (tasks := tasks_with(training, suffix))
    ]
    if pairs := task_pairs(training, tasks_with(training, 'grad_norm')):
        if len(pairs) <= MANY_PAIRS:
            words = ("Cosines between the tasks' backbone gradients", 'cosine')
            panels.append((_draw_cosines, (training, pairs, len(colours)), words))
        else:
            words = ("Mean cosine of a task's backbone gradient with the others'", 'cosine')
            panels.append((_draw_mean_cosines, (training, pairs, colours), words))
    if names:
        panels.append((_draw_metrics, (validation, names, colours), ('Validation', 'percent')))
    if not panels:
        raise DataError(f'the log of {title} has no TASK/loss and no metric; is it of this suite?')
    columns = 2 if len(panels) > 1 else 1
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(7 * columns, 4.2 * rows)
    grid = figure.add_gridspec(rows, columns)
    for index, (draw, arguments, words) in enumerate(panels):
        row, column = divmod(index, columns)
        widest = column == 0 and index == len(panels) - 1
        axis = figure.add_subplot(grid[row, :] if widest else grid[row, column])
        draw(axis, *arguments)
        _finish(axis, *words)
    figure.suptitle(plain(title), fontweight='bold')
    save_figure(figure, out)


def plot_validations(validations: Mapping[str, Records], out: str | os.PathLike) -> None:
    """Draw the main metrics of several runs in one PNG, one panel per metric.

    Args:
        validations: ``{name of the run: its validation records}``, at least one with a metric.
        out: The PNG file.
    """
    names = common_metrics(validations.values())
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(5 * columns + 1, 3.6 * rows + 0.5)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, (key, factor) in zip(axes, names.items()):
        for index, (run, records) in enumerate(validations.items()):
            steps, values = series(records, key)
            axis.plot(
                steps,
                _in_percent(values, factor),
                STYLES[index % 4],
                marker=MARKERS[index % 4],
                markersize=4,
                label=plain(run),
            )
        _finish(axis, key, 'percent', legend=axis is axes[0])
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    save_figure(figure, out)


def main_metrics(validation: Records) -> dict[str, float]:
    """``{key: factor to percent}`` for the score and each task's main metrics.

    COCO metrics are fractions, those of the other libraries percent, and logs have no units.
    Average precisions that never exceed 1 count as fractions, and so does the score.
    """
    keys = dict.fromkeys(
        key for record in validation.values() for key in record if key not in NOT_METRICS
    )
    main_names = {name for kind in registered_kinds().values() for name in kind.main_metrics}
    by_task: dict[str, list[str]] = {}
    for key in keys:
        task, slash, _ = key.partition('/')
        if slash:
            by_task.setdefault(task, []).append(key)
    chosen = []
    for members in by_task.values():
        main = [key for key in members if key.rsplit('/', 1)[-1] in main_names]
        chosen += main or members[:1]
    chosen += ['score'] if 'score' in keys else []
    return {key: _to_percent(key, series(validation, key)[1]) for key in chosen}


def common_metrics(validations: Iterable[Records]) -> dict[str, float]:
    """:func:`main_metrics` of several runs, with one factor per metric for all runs."""
    factors: dict[str, float] = {}
    for validation in validations:
        for key, factor in main_metrics(validation).items():
            factors[key] = min(factor, factors.get(key, factor))
    # The combined score comes after tasks that only a later run has.
    return {key: factors[key] for key in sorted(factors, key=lambda key: key == 'score')}


def _to_percent(key: str, values: list[float]) -> float:
    fraction = ('mAP' in key or key == 'score') and not any(value > 1 for value in values)
    return 100.0 if fraction else 1.0


def _task_colours(training: Records, validation: Records) -> dict[str, str]:
    tasks = dict.fromkeys(tasks_with(training, 'loss'))
    tasks |= dict.fromkeys(key.split('/')[0] for key in main_metrics(validation) if '/' in key)
    return {task: f'C{index % 10}' for index, task in enumerate(tasks)}


def _draw_tasks(axis, training: Records, suffix: str, tasks: list[str], colours: dict) -> None:
    lowest, highest = math.inf, 0.0
    for index, task in enumerate(tasks):
        steps, values = series(training, f'{task}/{suffix}')
        # Curves of equal weights overlap: dashes keep the lower one visible.
        axis.plot(
            steps,
            values,
            STYLES[index % 4] if suffix == 'weight' else '-',
            marker='.' if len(steps) < 3 else None,
            color=colours.get(task),
            label=plain(task),
            linewidth=1.6,
        )
        finite = [value for value in values if math.isfinite(value)]
        lowest, highest = min([lowest, *finite]), max([highest, *finite])
    if 0 < lowest and highest > MANY_DECADES * lowest:
        axis.set_yscale('log')
    elif lowest >= 0:
        axis.set_ylim(bottom=0)


def _draw_cosines(
    axis, training: Records, pairs: list[tuple[str, str, str]], colours_used: int
) -> None:
    for index, (first, second, pair) in enumerate(pairs):
        steps = changes(training, f'cos/{pair}')
        # Pairs have the colours after those of the tasks.
        axis.plot(
            steps,
            [training[step][f'cos/{pair}'] for step in steps],
            marker='.',
            color=f'C{(colours_used + index) % 10}',
            label=plain(f'{first} – {second}'),
            linewidth=1.2,
        )
    axis.axhline(0, color='black', linewidth=0.8)


def _draw_mean_cosines(
    axis, training: Records, pairs: list[tuple[str, str, str]], colours: dict
) -> None:
    for task, colour in colours.items():
        keys = [f'cos/{pair}' for *members, pair in pairs if task in members]
        steps = sorted({step for key in keys for step in changes(training, key)})
        values = [
            statistics.fmean(training[step][key] for key in keys if key in training[step])
            for step in steps
        ]
        axis.plot(steps, values, marker='.', color=colour, label=plain(task), linewidth=1.2)
    axis.axhline(0, color='black', linewidth=0.8)


def _in_percent(values: list[float], factor: float) -> list[float]:
    # COCO's -1 means "no such box in the annotations".
    return [factor * value if value >= 0 else math.nan for value in values]


def _draw_metrics(axis, validation: Records, names: dict[str, float], colours: dict) -> None:
    drawn: dict[str, int] = {}
    axis.set_ylim(0, 100)
    for key, factor in names.items():
        steps, values = series(validation, key)
        values = _in_percent(values, factor)
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
            label=plain(key),
            linewidth=2.4 if score else 1.6,
        )
        if any(value > 100 for value in values):
            axis.autoscale(axis='y')  # a custom metric that is not in percent


def _finish(axis, title: str, label: str, legend: bool = True) -> None:
    axis.set_title(plain(title), fontsize=11)
    axis.set_xlabel('iteration')
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    axis.spines[['top', 'right']].set_visible(False)
    if legend:
        axis.legend(fontsize=8, framealpha=0.85)
