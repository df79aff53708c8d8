"""Statistics of conflicts between the tasks' backbone gradients in a training."""

import os

import numpy as np

from allinone.errors import DataError

from .figure import new_figure, plain, save_figure
from .heatmap import draw_heatmap
from .scalars import Records, changes, task_pairs, tasks_with


def conflict_matrices(training: Records) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Fraction of measured steps with a negative cosine, and mean cosine, for each pair of tasks.

    A log record is the mean over the measured steps of its logging interval; all records with a new
    measurement have equal weight here.

    Args:
        training: Training records of :func:`read_scalars`.

    Returns:
        The K tasks, the fractions ``[K, K]`` from 0 to 1, and the cosines ``[K, K]``; NaN on the
        diagonal and for pairs that were never compared.

    Raises:
        DataError: If no two tasks were compared.
    """
    tasks = tasks_with(training, 'grad_norm')
    shares, cosines = np.full((2, len(tasks), len(tasks)), np.nan)
    for first, second, pair in task_pairs(training, tasks):
        measured = changes(training, f'cos/{pair}')
        if not measured:
            continue
        i, j = tasks.index(first), tasks.index(second)
        cosines[i, j] = cosines[j, i] = np.mean(
            [training[step][f'cos/{pair}'] for step in measured]
        )
        shares[i, j] = shares[j, i] = np.mean(
            [training[step].get(f'grad_conflict/{pair}', np.nan) for step in measured]
        )
    if not np.isfinite(cosines).any():
        raise DataError(
            'the log compares no two gradients; train with model.grad_similarity_interval above 0 '
            'and a schedule that names several tasks a step'
        )
    return tasks, shares, cosines


def plot_conflicts(training: Records, out: str | os.PathLike, title: str = '') -> None:
    """Draw both matrices of :func:`conflict_matrices` side by side in one PNG.

    Raises:
        DataError: As :func:`conflict_matrices`.
    """
    tasks, shares, cosines = conflict_matrices(training)
    side = 2.2 + 0.65 * len(tasks)
    figure = new_figure(2 * side + 1, side)
    left, right = figure.subplots(1, 2)
    draw_heatmap(
        left, 100 * shares, tasks, 'Steps in conflict (cosine below 0), %', 'OrRd', (0, 100), '.0f'
    )
    draw_heatmap(
        right, cosines, tasks, 'Mean cosine of backbone gradients', 'RdBu', (-1, 1), '+.2f'
    )
    if title:
        figure.suptitle(plain(title), fontweight='bold')
    save_figure(figure, out)
