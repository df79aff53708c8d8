"""Epochs in a training that counts iterations: how long one is, and who counts them."""

import inspect
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from math import ceil
from typing import Any, NamedTuple, cast

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop
from torch.utils.data import BatchSampler, DataLoader

from allinone.config.check import STAGES
from allinone.data.samplers import SeededInfiniteSampler
from allinone.errors import ConfigError
from allinone.registry import LIBRARIES, LOOPS, PARAM_SCHEDULERS

UPSTREAM = ('mmengine', *LIBRARIES)
# Their length is the size of the data set, whatever the number of processes.
ENDLESS = (SeededInfiniteSampler, InfiniteSampler)
LOOPS_HERE = {
    EpochBasedTrainLoop: 'MultiTaskTrainLoop',
    IterBasedTrainLoop: 'MultiTaskTrainLoop',
    ValLoop: 'MultiTaskValLoop',
    TestLoop: 'MultiTaskTestLoop',
}


class EpochPart(NamedTuple):
    """A part of a config that counts epochs.

    Attributes:
        key: Where it stands.
        what: What it counts, as the first half of a sentence.
        remedy: What to write where several tasks are trained.
    """

    key: str
    what: str
    remedy: str


def iterations_per_epoch(
    loaders: Mapping[str, DataLoader],
    micro_batches: Mapping[str, int] | None = None,
    source: str | None = None,
) -> int | None:
    """Number of iterations in which a source's data set is gone through once.

    Args:
        loaders: ``{source: training loader}``.
        micro_batches: ``{source: n}``, the batches of an iteration. Default: 1 each.
        source: The source whose data set counts. Default: the only one.

    Returns:
        As the length of the loader in the libraries: batches of one process, the last one rounded
        up unless ``drop_last`` is set. None if there are several sources and no ``source``.
    """
    if source is None:
        if len(loaders) != 1:
            return None
        (source,) = loaders
    loader = loaders[source]
    batches = cast(BatchSampler, loader.batch_sampler)
    count = len(loader)
    if isinstance(getattr(batches, 'sampler', None), ENDLESS):
        images = ceil(len(cast(Any, loader.dataset)) / get_world_size())
        whole = getattr(batches, 'drop_last', False)
        count = images // batches.batch_size if whole else ceil(images / batches.batch_size)
    return max(1, ceil(count / (micro_batches or {}).get(source, 1)))


def require_epochs(
    part: EpochPart, loaders: Mapping[str, DataLoader], micro_batches: Mapping[str, int]
) -> None:
    """Refuse a part that counts epochs where it is not clear what an epoch is.

    Raises:
        ConfigError: If several tasks are trained; with the length of an epoch of each.
    """
    if len(loaders) == 1:
        return
    lengths = [
        f'{iterations_per_epoch(loaders, micro_batches, task)} iterations for {task}'
        for task in loaders
    ]
    raise ConfigError(
        f'{part.key}: {part.what}, but several tasks are trained, and an epoch is '
        f'{", ".join(lengths)}; {part.remedy}'
    )


def max_epochs_part(max_epochs) -> EpochPart:
    """``train_cfg.max_epochs`` as a part that counts epochs."""
    return EpochPart(
        'train_cfg.max_epochs',
        f'training is to end after {max_epochs!r} epochs',
        "use type='MultiTaskTrainLoop' with max_iters, and give val_interval in iterations",
    )


def in_iterations(
    length: int,
    max_epochs: int,
    val_begin: int,
    val_interval: int,
    dynamic_intervals: Sequence[tuple[int, int]] | None,
) -> tuple[int, int, int, list[tuple[int, int]]]:
    """Arguments of mmengine's ``EpochBasedTrainLoop`` as those of its ``IterBasedTrainLoop``.

    A milestone counts from the epoch that it names: the loop of epochs compares it with the
    number of the epoch to come, that of iterations with the number of the iteration to come.
    """
    dynamic = [
        (max(0, (milestone - 1) * length + 1), interval * length)
        for milestone, interval in dynamic_intervals or ()
    ]
    return max_epochs * length, val_begin * length, val_interval * length, dynamic


def translate_loops(cfg: MutableMapping) -> None:
    """Put the loops of this suite in the place of mmengine's, which run one data set.

    Args:
        cfg: A full config; its ``train_cfg``, ``val_cfg`` and ``test_cfg`` are replaced.

    Raises:
        ConfigError: If one is another loop of the libraries.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'allinone'):
        for stage in STAGES:
            key = f'{stage}_cfg'
            if isinstance(cfg.get(key), Mapping):
                cfg[key] = _translated_loop(key, dict(cfg[key]), stage)


def _translated_loop(key: str, loop: dict, stage: str) -> dict:
    if stage == 'train' and 'type' not in loop and 'by_epoch' in loop:
        # The form of mmengine without a type
        loop['type'] = EpochBasedTrainLoop if loop.pop('by_epoch') else IterBasedTrainLoop
    elif stage != 'train':
        loop.setdefault('type', f'MultiTask{stage.title()}Loop')
    kind = loop.get('type')
    kind = class_of(kind, LOOPS)
    if kind in LOOPS_HERE:
        loop['type'] = LOOPS_HERE[kind]
        loop.pop('fast_forward_on_resume', None)  # Here nothing is stepped through.
        if kind is EpochBasedTrainLoop:
            loop.setdefault('val_interval', 1)
    elif inspect.isclass(kind) and is_upstream(kind):
        raise ConfigError(
            f'{key}.type is {kind.__name__!r}, which runs one model on one data set; use '
            f"'MultiTask{stage.title()}Loop'"
        )
    return loop


def class_of(kind, registry: Registry):
    """The class of a ``type`` in a config, by the default scope; None where there is none."""
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as current:
        return current.get(kind)


def is_upstream(kind: type) -> bool:
    """Whether a class is one of mmengine or of the three libraries."""
    return kind.__module__.split('.')[0] in UPSTREAM


def scheduler_parts(cfg, key: str = 'param_scheduler') -> Iterator[EpochPart]:
    """The schedulers of a config that count epochs: with ``by_epoch=True``, which is the default.

    Those that follow a validation (``ReduceOnPlateauLR``) count validations. One that tells the
    length of an epoch (``convert_to_iter_based=True, epoch_length=n``) needs no other.

    Args:
        cfg: ``param_scheduler``: a config, a list of them, or ``{optimizer: ...}``.
        key: Where it stands.
    """
    for path, part in _schedulers(cfg, key):
        if part.get('convert_to_iter_based') and part.get('epoch_length'):
            continue
        name = part['type'] if isinstance(part['type'], str) else part['type'].__name__
        yield EpochPart(
            path,
            f'{name} counts epochs (by_epoch=True, which is the default)',
            'give by_epoch=False and iterations, or add convert_to_iter_based=True and '
            'epoch_length=ITERATIONS',
        )


def with_epoch_length(cfg, length: int | None, max_iters: int):
    """The config of schedulers, with the length of an epoch where one is converted to iterations.

    Args:
        cfg: As in :func:`scheduler_parts`.
        length: Iterations of an epoch; None where each scheduler tells its own.
        max_iters: Iterations of the training, up to which schedulers without an ``end`` run.
    """
    if isinstance(cfg, (list, tuple)):
        return [with_epoch_length(part, length, max_iters) for part in cfg]
    if not isinstance(cfg, Mapping):
        return cfg
    if 'type' not in cfg:
        return {name: with_epoch_length(part, length, max_iters) for name, part in cfg.items()}
    if not cfg.get('convert_to_iter_based'):
        return cfg
    length = cfg.get('epoch_length') or length or 1
    return dict(epoch_length=length, end=ceil(max_iters / length)) | dict(cfg)


def _schedulers(cfg, key: str) -> Iterator[tuple[str, Mapping]]:
    if isinstance(cfg, (list, tuple)):
        for index, part in enumerate(cfg):
            yield from _schedulers(part, f'{key}.{index}')
    elif isinstance(cfg, Mapping) and 'type' not in cfg:
        for name, part in cfg.items():
            yield from _schedulers(part, f'{key}.{name}')
    elif isinstance(cfg, Mapping):
        kind = class_of(cfg['type'], PARAM_SCHEDULERS)
        # One that no registry has is refused when it is built.
        if kind is not None and counts_epochs(cfg, kind):
            yield key, cfg


def counts_epochs(cfg: Mapping, kind: type) -> bool:
    """Whether a scheduler counts epochs; those that follow a validation count validations."""
    return not getattr(kind, 'need_val_args', False) and bool(
        cfg.get('by_epoch', _default_by_epoch(kind))
    )


def _default_by_epoch(kind: type) -> bool:
    for part in inspect.getmro(kind):
        call = vars(part).get('__init__')
        by_epoch = inspect.signature(call).parameters.get('by_epoch') if call else None
        if by_epoch is not None:
            return bool(by_epoch.default)
    return False


def save_by_iteration(runner, key: str, configured: bool) -> Iterator[EpochPart]:
    """Turn intervals of checkpoints in epochs into iterations, by which a run is resumed.

    Args:
        runner: A runner whose training loop is built.
        key: Where the hook stands.
        configured: Whether the config has one; else it is mmengine's default.

    Yields:
        What counts epochs, before it is translated.
    """
    for hook in runner.hooks:
        if not isinstance(hook, CheckpointHook) or not hook.by_epoch:
            continue
        length = runner.train_loop.epoch_length
        if hook.interval > 0 and (configured or length):
            yield EpochPart(
                key,
                f'{type(hook).__name__} saves every {hook.interval} epochs (by_epoch=True, which '
                'is the default)',
                'give by_epoch=False and interval in iterations',
            )
        if length is None:
            runner.logger.warning(
                f'{key}: only the end of the training is saved; give by_epoch=False and interval '
                'in iterations'
            )
            hook.interval, length = -1, 1
        hook.by_epoch = False
        hook.interval *= length
        hook.save_begin *= length
        if hook.filename_tmpl.startswith('epoch_'):
            hook.filename_tmpl = hook.filename_tmpl.replace('epoch_', 'iter_', 1)


def check_log(cfg: Mapping) -> None:
    """Refuse an average over an epoch in the log, which counts iterations.

    Raises:
        ConfigError: If ``log_processor`` has one.
    """
    for index, part in enumerate((cfg.get('log_processor') or {}).get('custom_cfg') or ()):
        if part.get('window_size') == 'epoch':
            raise ConfigError(
                f"log_processor.custom_cfg.{index}.window_size is 'epoch', but the log counts "
                "iterations; give their number, or 'global'"
            )


def log_by_iteration(runner) -> None:
    """Count iterations in the log, and in the curves of the metrics."""
    if getattr(runner.log_processor, 'by_epoch', False):
        runner.log_processor.by_epoch = False
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            hook.log_metric_by_epoch = False
