"""Schedules of the learning rate that follow the length of the training."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import (
    ConstantParamScheduler,
    CosineAnnealingParamScheduler,
    LinearLR,
    LinearParamScheduler,
    OneCycleParamScheduler,
    PolyParamScheduler,
    _ParamScheduler,
)

from allinone.config.fractions import check_iterations, is_fraction, point_in
from allinone.errors import ConfigError
from allinone.registry import PARAM_SCHEDULERS

from .epochs import class_of, counts_epochs

# Their curve lies between begin and end.
SPANNING = (
    CosineAnnealingParamScheduler,
    LinearParamScheduler,
    OneCycleParamScheduler,
    PolyParamScheduler,
)
POINTS = ('begin', 'end')
# Of the learning rate at the first iteration of a warm-up that no scheduler describes
WARMUP_FACTOR = 0.01
SHAPE = ('T_max', 'total_iters', 'total_steps')


def follow_length(cfg, max_iters: int, warmup: int | None = None, key: str = 'param_scheduler'):
    """The config of schedulers in iterations of this training.

    Fractions of the training (``begin``, ``end``, ``milestones``) become iterations. With a
    warm-up, a ``LinearLR`` that rises and has no ``end`` is the warm-up; where there is none, one
    from ``WARMUP_FACTOR`` is added. Schedulers whose curve lies between begin and end (cosine,
    polynomial, linear, one cycle) and that have no ``begin`` begin after it. Those that count
    epochs, and those with milestones or steps, stay as they are. A list stays as it is if it is
    empty, or if it has a warm-up of its own (:func:`has_own_end`).

    Args:
        cfg: ``param_scheduler``: a config, a list of them, ``{optimizer: ...}``, or None, which
            gets the warm-up alone.
        max_iters: Iterations of the training.
        warmup: Iterations of the warm-up. None: the config has no ``train_cfg.warmup``.
        key: Where ``cfg`` stands.

    Raises:
        ConfigError: If a number is no iteration and no fraction, or a scheduler with fractions
            counts epochs.
    """
    if isinstance(cfg, Mapping) and 'type' not in cfg:
        return {
            name: follow_length(part, max_iters, warmup, f'{key}.{name}')
            for name, part in cfg.items()
        }
    parts = list(cfg) if isinstance(cfg, (list, tuple)) else [] if cfg is None else [cfg]
    if any(isinstance(part, _ParamScheduler) for part in parts):
        return cfg  # Built already; mmengine passes them again on resuming.
    listed = isinstance(cfg, (list, tuple))
    parts = [
        _in_iterations(part, max_iters, f'{key}.{index}' if listed else key)
        for index, part in enumerate(parts)
    ]
    if warmup is None or (listed and not parts) or any(map(has_own_end, parts)):
        return None if cfg is None else parts if listed else parts[0]
    return _warmed_up(parts, warmup, max_iters)


def _in_iterations(part, max_iters: int, key: str):
    if not isinstance(part, Mapping) or part.get('convert_to_iter_based'):
        return part  # Epochs, which may be fractions
    part = _whole(part)
    milestones = part.get('milestones')
    milestones = milestones if isinstance(milestones, (list, tuple)) else ()
    values = {name: part[name] for name in POINTS if isinstance(part.get(name), float)}
    values |= {
        f'milestones.{index}': value
        for index, value in enumerate(milestones)
        if isinstance(value, float)
    }
    for name, value in values.items():
        check_iterations(f'{key}.{name}', value, 0)
        if _by_epoch(part):
            raise ConfigError(
                f'{key}.{name} is {value!r}, a fraction of the training, but the scheduler counts '
                'epochs (by_epoch=True, which is the default); give by_epoch=False'
            )
    if not values:
        return part
    found = dict(part)
    for name in POINTS:
        if is_fraction(found.get(name)):
            found[name] = point_in(found[name], max_iters)
    if milestones:
        # mmengine counts them from the begin of the scheduler.
        begin = found.get('begin', 0)
        found['milestones'] = [
            max(1, point_in(value, max_iters) - begin) if is_fraction(value) else value
            for value in milestones
        ]
    return found


def _whole(part: Mapping) -> dict:
    """Floats that are whole numbers (0.1 * max_iters) as such."""

    def whole(value):
        product = isinstance(value, float) and value.is_integer() and value != 1
        return int(value) if product else value  # 1.0 may be meant as all of the training.

    found = dict(part) | {name: whole(part[name]) for name in POINTS if name in part}
    if isinstance(part.get('milestones'), (list, tuple)):
        found['milestones'] = [whole(value) for value in part['milestones']]
    return found


def _warmed_up(parts: list, warmup: int, max_iters: int) -> list:
    # mmengine's LinearLR reaches the full rate in the last iteration of the warm-up: one has none.
    warmup = warmup if warmup > 1 else 0
    found: list[Any] = []
    warming = False
    for part in parts:
        if not isinstance(part, Mapping) or _by_epoch(part):
            found.append(part)
        elif _is_warmup(part):
            warming = True
            if warmup:
                found.append(dict(part, begin=part.get('begin', 0), end=warmup))
        elif 'begin' not in part and _is(part, SPANNING):
            found.append(dict(part, begin=warmup, **_idle(part, warmup, max_iters)))
        else:
            found.append(part)
    if warmup and not warming:
        print_log(
            f'The learning rate rises linearly over the first {warmup} iterations '
            '(train_cfg.warmup); train_cfg.warmup=0 leaves that out',
            'current',
        )
        # At the end of the list, so that the others keep their index in messages
        found.append(
            dict(type='LinearLR', start_factor=WARMUP_FACTOR, by_epoch=False, begin=0, end=warmup)
        )
    return found


def _idle(part: Mapping, begin: int, max_iters: int) -> dict:
    """``end`` of a scheduler that would begin after the training, which mmengine refuses."""
    return dict(end=begin + 1) if 'end' not in part and begin >= max_iters else {}


def _by_epoch(part: Mapping) -> bool:
    kind = class_of(part.get('type'), PARAM_SCHEDULERS)
    return inspect.isclass(kind) and counts_epochs(part, kind)


def _is(part: Mapping, kinds) -> bool:
    kind = class_of(part.get('type'), PARAM_SCHEDULERS)
    return inspect.isclass(kind) and issubclass(kind, kinds)


def _is_warmup(part) -> bool:
    """Whether a scheduler is a ``LinearLR`` that rises."""
    return (
        isinstance(part, Mapping)
        and _is(part, LinearLR)
        and part.get('start_factor', 1 / 3) < part.get('end_factor', 1.0)
    )


def has_own_end(part) -> bool:
    """Whether a scheduler is a warm-up that ``train_cfg.warmup`` does not end.

    Beside a ``LinearLR`` that rises to an ``end``, or by epochs, these are one cycle, mmdet's
    quadratic warm-up, and a constant factor below 1 up to an ``end``.
    """
    if not isinstance(part, Mapping):
        return False
    kind = class_of(part.get('type'), PARAM_SCHEDULERS)
    if not inspect.isclass(kind):
        return False
    if issubclass(kind, ConstantParamScheduler):
        return 'end' in part and part.get('factor', 1 / 3) < 1
    if _is_warmup(part):
        return 'end' in part or _by_epoch(part)
    return issubclass(kind, OneCycleParamScheduler) or kind.__name__.startswith('QuadraticWarmup')


def contradictions(cfg, lengths: Mapping[str, int], key: str = 'param_scheduler') -> Iterator[str]:
    """Sentences on numbers of schedulers that do not fit the length of the training.

    Such a schedule can be meant (a training cut short), so these are warnings.

    Args:
        cfg: As :func:`follow_length` returns it.
        lengths: ``{'iteration': n, 'epoch': n}`` of the training; without the latter, schedulers
            that count epochs are not compared.
        key: Where ``cfg`` stands.
    """
    if isinstance(cfg, Mapping) and 'type' not in cfg:
        for name, part in cfg.items():
            yield from contradictions(part, lengths, f'{key}.{name}')
        return
    listed = isinstance(cfg, (list, tuple))
    parts = {
        f'{key}.{index}' if listed else key: part
        for index, part in enumerate(cfg if listed else [cfg])
        if isinstance(part, Mapping)
    }
    ends = []
    for place, part in parts.items():
        unit = 'epoch' if _by_epoch(part) or part.get('convert_to_iter_based') else 'iteration'
        if unit not in lengths:
            return
        length = lengths[unit]
        begin, end = part.get('begin', 0), part.get('end', length)
        end = length if end is None else end  # mmengine refuses it.
        ends.append((end / length, place, part, unit))
        if _is(part, SPANNING):
            yield from _cut(place, part, unit, begin, end, length)
    last, place, part, unit = max(ends, key=lambda entry: entry[0], default=(1, '', {}, ''))
    if last < 1 and _is(part, SPANNING) and not _rises(part):
        yield (
            f'{place}.end is {part["end"]}, but training ends at {unit} {lengths[unit]}: from '
            f'{unit} {part["end"]} on, the value stays where the schedule ended; leave out end'
            f'{_and_further(part)}, so that it follows the length of the training'
        )


def _rises(part: Mapping) -> bool:
    """Whether a scheduler ends at the full rate, as a warm-up does."""
    return _is(part, LinearParamScheduler) and part.get('end_factor', 1.0) == 1


def _and_further(part: Mapping) -> str:
    names = [name for name in ('T_max', 'total_steps') if part.get(name)]
    return ''.join(f' and {name}' for name in names)


def _cut(place: str, part: Mapping, unit: str, begin: int, end: int, length: int) -> Iterator[str]:
    if begin >= length:
        yield (
            f'{place} begins at {unit} {begin}, but training ends at {unit} {length}, so it never '
            'acts; give train_cfg.warmup as a fraction, which follows the length of the training'
        )
        return
    if end > length:
        yield (
            f'{place}.end is {end}, but training ends at {unit} {length}, amid the schedule; leave '
            f'out end{_and_further(part)}, so that it follows the length of the training'
        )
    period = part.get('T_max') if _is(part, CosineAnnealingParamScheduler) else None
    if not period or period == end - begin:
        return
    acts = min(end, length) - begin
    if period < acts:
        yield (
            f'{place}.T_max is {period}, but the schedule acts on {acts} {unit}s, so the value '
            f'rises again after {unit} {begin + period}; leave out T_max, so that it follows'
        )
    elif end <= length:
        yield (
            f'{place}.T_max is {period}, but the schedule acts on {acts} {unit}s only, so the '
            'value does not come down to its minimum; leave out T_max, so that it follows'
        )


def check_cycles(cfg, max_iters: int, key: str = 'param_scheduler') -> None:
    """Refuse a one-cycle schedule that fails amid the training.

    Raises:
        ConfigError: If it acts longer than its ``total_steps``.
    """
    if isinstance(cfg, (list, tuple)):
        for index, part in enumerate(cfg):
            check_cycles(part, max_iters, f'{key}.{index}')
    elif isinstance(cfg, Mapping) and 'type' not in cfg:
        for name, part in cfg.items():
            check_cycles(part, max_iters, f'{key}.{name}')
    elif isinstance(cfg, Mapping) and _is(cfg, OneCycleParamScheduler):
        steps = cfg.get('total_steps')
        acts = min(cfg.get('end', max_iters), max_iters) - cfg.get('begin', 0)
        by_iteration = not _by_epoch(cfg) and not cfg.get('convert_to_iter_based')
        if by_iteration and isinstance(steps, int) and acts > steps + 1:
            raise ConfigError(
                f'{key}.total_steps is {steps}, but the schedule acts on {acts} iterations, and '
                'cannot go on after its cycle; leave out total_steps, so that it follows the '
                'length of the training'
            )


@contextmanager
def keeping_ends(schedulers) -> Iterator[None]:
    """Let schedulers that load a state end where their config says.

    In mmengine the state brings the ``end`` of the training that saved it, and after that nothing
    would change any more in a training made longer. The curves of schedulers whose form lies
    between begin and end stay those of the state.

    Args:
        schedulers: Built schedulers: a list, or ``{optimizer: list}``.
    """
    every = schedulers.values() if isinstance(schedulers, Mapping) else [schedulers or ()]
    before = [
        (part, part.end, _shape(part))
        for parts in every
        for part in parts
        if isinstance(part, _ParamScheduler)
    ]
    yield
    for part, end, shape in before:
        if shape == _shape(part):
            part.end = end


def _shape(scheduler: _ParamScheduler) -> dict:
    return {name: vars(scheduler).get(name) for name in SHAPE}
