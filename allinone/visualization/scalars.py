"""What a run has logged, read back."""

import json
import os
from pathlib import Path

from allinone.errors import DataError

Records = dict[int, dict[str, float]]


def read_scalars(work_dir: str | os.PathLike) -> tuple[Records, Records]:
    """Training and validation records of a run by iteration, over all its resumptions.

    A run that was resumed (or begun anew) in the same work dir has a time-stamped folder for
    each start. What a later start trains again replaces what an earlier one had logged from that
    iteration on.

    Args:
        work_dir: The run's work dir, or one of its time-stamped folders.

    Returns:
        ``{iteration: {key: value}}`` of training (``'TASK/loss'``, ...) and of validation.

    Raises:
        DataError: If there is no ``vis_data/scalars.json``, or nothing in it yet.
    """
    root = Path(work_dir)
    files = sorted([*root.glob('vis_data/scalars.json'), *root.glob('*/vis_data/scalars.json')])
    if not files:
        raise DataError(f'{root} has no */vis_data/scalars.json; give the work dir of a training')
    training, validation = {}, {}
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


def series(records: Records, key: str) -> tuple[list[int], list[float]]:
    """Iterations and values of one key, where it was logged."""
    steps = [step for step in sorted(records) if key in records[step]]
    return steps, [records[step][key] for step in steps]


def _read(file: Path) -> tuple[Records, Records]:
    training, validation = {}, {}
    for line in file.read_text(encoding='utf-8').splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # the last line of a run that is being written
            continue
        if not isinstance(record, dict) or 'step' not in record:
            continue
        numbers = {key: value for key, value in record.items() if isinstance(value, (int, float))}
        # Training logs both; mmengine gives validation the step only.
        (training if 'iter' in record else validation)[int(record['step'])] = numbers
    return training, validation
