"""What counts epochs in a training whose loop is built: translated, or refused with its key."""

from collections.abc import Iterator

from mmengine.hooks import CheckpointHook, EMAHook

from allinone.errors import ConfigError

from .epochs import (
    EpochPart,
    log_by_iteration,
    max_epochs_part,
    require_epochs,
    save_by_iteration,
    scheduler_parts,
)
from .follow_length import follow_intervals, tell_contradictions
from .upstream_hooks import (
    configured_hooks,
    hook_parts,
    model_parts,
    prepare_hooks,
    warn_of_own_hooks,
)


def prepare_epochs(runner) -> None:
    """Make the parts of a training count what its loop counts, before its first step.

    Where there is one source, an epoch is one pass over its data set. Where there are several,
    nothing tells whose, and each part that counts epochs is refused.

    Args:
        runner: A runner whose training loop is built.

    Raises:
        ConfigError: With the key of the part, the length of an epoch of each task, and what to
            write.
    """
    loop = runner.train_loop
    follow_intervals(runner)
    parts = list(_parts(runner))
    for part in parts:
        require_epochs(part, loop.dataloader.loaders, loop.micro_batches)
    log_by_iteration(runner)
    prepare_hooks(runner)
    _check_averages(runner)
    tell_contradictions(runner)
    if loop.epoch_length is None:
        warn_of_own_hooks(runner)
    elif parts:
        _tell(runner, [part.key for part in parts])


def _parts(runner) -> Iterator[EpochPart]:
    cfg = runner.cfg
    if (cfg.get('train_cfg') or {}).get('max_epochs') is not None:
        yield max_epochs_part(cfg.train_cfg.max_epochs)
    yield from scheduler_parts(cfg.get('param_scheduler'))
    keys = [key for key, _, kind in configured_hooks(cfg) if issubclass(kind, CheckpointHook)]
    key = keys[0] if keys else 'default_hooks.checkpoint'
    yield from save_by_iteration(runner, key, bool(keys))
    yield from hook_parts(cfg)
    model = getattr(runner.model, 'module', runner.model)
    served = runner.train_loop.dataloader.tasks.values()
    trained = dict.fromkeys(task for tasks in served for task in tasks)
    yield from model_parts({task: model.tasks[task] for task in trained})


def _tell(runner, keys: list[str]) -> None:
    loop = runner.train_loop
    (source,) = loop.dataloader.loaders
    length, steps = loop.epoch_length, loop.max_iters
    runner.logger.info(
        f'an epoch is {length} iterations of {source}, and training makes {steps}, for '
        f'{", ".join(keys)}'
    )
    if steps < length:
        runner.logger.warning(
            f'training ends after {steps} iterations, amid the first epoch ({length} iterations of '
            f'{source}), so what counts epochs ({", ".join(keys)}) stays as in the first'
        )


def _check_averages(runner) -> None:
    """What mmengine's ``EMAHook`` asserts amid the start, without a key."""
    loop = runner.train_loop
    for hook in runner.hooks:
        if not isinstance(hook, EMAHook):
            continue
        unit = 'epoch' if hook.enabled_by_epoch else 'iter'
        begin, end = getattr(hook, f'begin_{unit}'), getattr(loop, f'max_{unit}s')
        if begin > end:
            raise ConfigError(
                f'custom_hooks: begin_{unit} of {type(hook).__name__} is {begin}, but training '
                f'ends at {unit} {end}; begin before it'
            )
