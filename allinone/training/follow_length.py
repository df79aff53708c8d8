"""What of a config follows the length of its training, once that is known."""

from collections.abc import Iterator, Mapping

from mmengine.hooks import CheckpointHook as UpstreamCheckpointHook

from .hooks.checkpoint import CheckpointHook
from .schedule_length import check_cycles, contradictions, follow_length, has_own_end

NOT_RECORDED = ('epochs', 'warmup')


def followed_schedulers(runner, cfg):
    """``param_scheduler`` in iterations of the training of a runner.

    Args:
        runner: A runner whose training loop is built.
        cfg: The config of its schedulers, or None.

    Raises:
        ConfigError: As :func:`follow_length` and :func:`check_cycles`.
    """
    loop = runner.train_loop
    found = follow_length(cfg, loop.max_iters, getattr(loop, 'warmup', None))
    check_cycles(found, loop.max_iters)
    return found


def configured_schedulers(runner):
    """The schedulers of a training: those of its config, and the warm-up.

    None if the config has ``param_scheduler=None``; where it has no such key, the warm-up alone.
    """
    cfg = runner.cfg.get('param_scheduler')
    return (
        None
        if cfg is None and 'param_scheduler' in runner.cfg
        else followed_schedulers(runner, cfg)
    )


def follow_intervals(runner) -> None:
    """Set the intervals of checkpoints that are not given in iterations or epochs."""
    loop = runner.train_loop
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            hook.follow_length(loop.val_interval, loop.max_iters)


def tell_contradictions(runner) -> None:
    """Log a warning for each number that does not fit the length of the training."""
    loop, cfg = runner.train_loop, runner.cfg
    lengths = dict(iteration=loop.max_iters)
    if loop.epoch_length:
        lengths['epoch'] = loop.max_epochs
    sentences = [
        *_two_warmups(loop.warmup, cfg.get('param_scheduler')),
        *contradictions(configured_schedulers(runner), lengths),
    ]
    given = (cfg.get('train_cfg') or {}).get('val_interval')
    if runner.val_loop is not None and given and loop.val_interval > loop.max_iters:
        sentences.append(
            f'train_cfg.val_interval is {given}, but training ends at iteration {loop.max_iters}: '
            'only its end is validated; give a fraction, as in val_interval=0.1, which follows the '
            'length of the training'
        )
    for hook in runner.hooks:
        if isinstance(hook, UpstreamCheckpointHook) and hook.interval > loop.max_iters:
            saved = 'only its end is saved' if hook.save_last else 'nothing is saved'
            sentences.append(
                f'{type(hook).__name__}.interval is {hook.interval} iterations, but training ends '
                f'at iteration {loop.max_iters}: {saved}; leave out interval, so that it follows '
                'train_cfg.val_interval'
            )
    for sentence in sentences:
        runner.logger.warning(sentence)


def run_config(runner) -> dict:
    """The config of a training as the run manifest compares it: in iterations of this training.

    A run that was recorded with these iterations in its config is the same run.
    """
    cfg = dict(runner.cfg.items())
    loop, given = runner.train_loop, cfg.get('train_cfg')
    if not isinstance(given, Mapping) or not hasattr(loop, 'warmup'):
        return cfg
    train_cfg = {key: value for key, value in given.items() if key not in NOT_RECORDED}
    if given.get('epochs') is not None:
        train_cfg['max_iters'] = loop.max_iters
    if isinstance(given.get('val_interval'), float):
        train_cfg['val_interval'] = loop.val_interval
    return cfg | dict(train_cfg=train_cfg, param_scheduler=configured_schedulers(runner))


def _two_warmups(warmup: int | None, cfg) -> Iterator[str]:
    parts = cfg if isinstance(cfg, (list, tuple)) else [cfg]
    for index, part in enumerate(parts):
        if warmup is not None and has_own_end(part) and part.get('end') != warmup:
            end = f' with end={part["end"]}' if 'end' in part else ''
            yield (
                f'train_cfg.warmup is {warmup} iterations, but param_scheduler.{index} is a '
                f'warm-up{end}, which holds; leave one of them out'
            )
