"""The length of a training in passes over the data set of one source."""

from collections.abc import Mapping

from torch.utils.data import DataLoader

from allinone.errors import ConfigError
from allinone.registry.options import check_choice, check_count

from .epochs import iterations_per_epoch


def max_iters_of(
    epochs: Mapping,
    loaders: Mapping[str, DataLoader],
    micro_batches: Mapping[str, int],
    one_task: str | None = None,
) -> tuple[int, int]:
    """Length of a training in passes over the data set of one source.

    Args:
        epochs: ``train_cfg.epochs``: ``dict(source=SOURCE, n=PASSES)``; with one source, ``source``
            may be left out.
        loaders: ``{source: training loader}``.
        micro_batches: ``{source: n}``, the batches of an iteration.
        one_task: Name of the schedule, where an iteration does not have every source.

    Returns:
        Iterations of the training, and of one pass.

    Raises:
        ConfigError: If ``epochs`` names no source, or no number of passes, or if the source is not
            in every iteration.
    """
    key, tasks = 'train_cfg.epochs', list(loaders)
    if not isinstance(epochs, Mapping) or not set(epochs) <= {'source', 'n'} or 'n' not in epochs:
        raise ConfigError(f'{key} is {epochs!r}; give dict(source={tasks[0]!r}, n=12)')
    count = check_count(f'{key}.n', epochs['n'])
    source = epochs.get('source')
    if source is None and len(tasks) > 1:
        raise ConfigError(
            f'{key} is {dict(epochs)} without a source, but several tasks are trained; add the '
            f'one of {tasks} whose data set an epoch goes through'
        )
    if source is not None:
        check_choice(f'{key}.source', source, tasks)
    if one_task and len(tasks) > 1:
        raise ConfigError(
            f'{key} is {dict(epochs)}, but with train_cfg.schedule.type {one_task!r} {source} is '
            'not in every iteration, so the length of an epoch is not known; give max_iters '
            'instead'
        )
    length = iterations_per_epoch(loaders, micro_batches, source) or 1
    return count * length, length
