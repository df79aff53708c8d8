"""Reading of a run's logged scalars."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from allinone.errors import DataError
from allinone.io.renames import current_log_key

Records = dict[int, dict[str, float]]


def read_scalars(work_dir: str | os.PathLike) -> tuple[Records, Records]:
    """Read training and validation records of a run by iteration, over all its launches.

    A run that was resumed (or begun anew) in the same work dir has one time-stamped folder per
    launch. Records of a later launch replace all earlier records from its first iteration on.

    Args:
        work_dir: The run's work dir, or one of its time-stamped folders.

    Returns:
        ``{iteration: {key: value}}`` of training (``'TASK/loss'``, ...) and of validation.

    Raises:
        DataError: If there is no ``vis_data/scalars.json``, or it is still empty.
    """
    files = log_files(work_dir)
    training: Records = {}
    validation: Records = {}
    for file in files:
        later_training, later_validation = _read(file)
        if later_training:
            first = min(later_training)
            training = {i: record for i, record in training.items() if i < first}
            validation = {i: record for i, record in validation.items() if i < first}
        training |= later_training
        validation |= later_validation
    if not training and not validation:
        raise DataError(
            f'{files[-1]} holds no record yet; the first is written after '
            'default_hooks.logger.interval iterations'
        )
    return training, validation


def log_files(work_dir: str | os.PathLike) -> list[Path]:
    """The ``scalars.json`` of each launch of a run, oldest first; each is beside a ``config.py``.

    Raises:
        DataError: If there is none.
    """
    root = Path(work_dir)
    files = sorted([*root.glob('vis_data/scalars.json'), *root.glob('*/vis_data/scalars.json')])
    if not files:
        raise DataError(f'{root} has no */vis_data/scalars.json; give the work dir of a training')
    return files


def series(records: Records, key: str) -> tuple[list[int], list[float]]:
    """Iterations and values of one key, from the records that have it."""
    steps = [step for step in sorted(records) if key in records[step]]
    return steps, [records[step][key] for step in steps]


def changes(records: Records, key: str) -> list[int]:
    """Iterations at which ``key`` is finite and differs from the previous record.

    The log repeats values of single steps, such as cosines, until the next measurement.
    """
    steps, values = series(records, key)
    return [
        step
        for step, value, before in zip(steps, values, [math.nan, *values])
        if math.isfinite(value) and value != before
    ]


def tasks_with(training: Records, suffix: str) -> list[str]:
    """Tasks with ``TASK/suffix`` in the log, in log order."""
    keys = dict.fromkeys(key for record in training.values() for key in record)
    return [key[: -len(suffix) - 1] for key in keys if key.endswith(f'/{suffix}')]


def task_pairs(training: Records, tasks: Sequence[str]) -> list[tuple[str, str, str]]:
    """``(A, B, name)`` of all pairs of ``tasks`` with ``cos/name`` in the log; ``name`` is ``A-B``.

    Names are built from the tasks, because splitting a name is ambiguous: ``a-b-c`` may be ``a``
    and ``b-c`` or ``a-b`` and ``c``.
    """
    keys = {key for record in training.values() for key in record}
    return [
        (first, second, f'{first}-{second}')
        for first in tasks
        for second in tasks
        if first != second and f'cos/{first}-{second}' in keys
    ]


def _read(file: Path) -> tuple[Records, Records]:
    training: Records = {}
    validation: Records = {}
    for line in file.read_text(encoding='utf-8').splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # last line, which a run is still writing
            continue
        if not isinstance(record, dict) or 'step' not in record:
            continue
        numbers = {
            current_log_key(key): value
            for key, value in record.items()
            if isinstance(value, (int, float))
        }
        # Training logs both; mmengine's validation only logs ``step``.
        (training if 'iter' in record else validation)[int(record['step'])] = numbers
    return training, validation
