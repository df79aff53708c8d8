"""Time and memory that each balancing method adds to a training step."""

import copy
import inspect
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from allinone.balancers.base import Balancer
from allinone.balancers.wrappers.wrapper import Wrapper
from allinone.data.loaders import training_batches
from allinone.errors import ConfigError
from allinone.models.allinone import AllInOne
from allinone.registry import BALANCERS, MODELS
from allinone.step.step import BalancedStep

from .measure import OwnTime, device, interval_name, peak_memory, seconds, time_ratio, whole_cell

# Parts of a step that call a method's code; its own time excludes the tasks' backward passes.
PARTS = ('_before_forward', '_after_forward', '_end_task', '_end_tasks', '_combine')
BASE_CONFIG = Path(__file__).parents[1] / 'configs/_base_/balancers.py'
LOSS_LIMIT, GRADIENT_LIMIT, REGULARISER_LIMIT = 1.02, 1.05, 2.0
COMPARED = 'FixedWeights, gradients compared'
JUDGED = ('time_limit', 'memory_limit', 'holds')
# A loss weighting keeps a few numbers per task.
FEW_NUMBERS = 0.01


def method_configs(tasks: Sequence[str]) -> dict[str, dict]:
    """``{name: config}`` of every method of ``BALANCERS`` for these tasks.

    Configs are those of ``configs/_base_/balancers.py``, where a method may be wrapped; other
    methods have their defaults. A method that follows validation gets the metrics ``TASK/kpi``.
    """
    BALANCERS.import_from_location()
    given = Config.fromfile(BASE_CONFIG).balancers.to_dict().values()
    inner = [cfg['balancer'] for cfg in given if 'balancer' in cfg]
    found = {name: dict(type=name) for name in sorted(BALANCERS.module_dict)}
    found |= {cfg['type']: cfg for cfg in [*inner, *given]}
    for cfg in found.values():
        if 'metrics' in cfg:
            cfg['metrics'] = {f'{task}/kpi': 1 for task in tasks}
    return found


def choose(configs: Mapping[str, dict], methods: Sequence[str] | None) -> dict[str, dict]:
    """The configs of ``methods``; default: all except those that only wrap another method.

    Raises:
        ConfigError: If a method is unknown.
    """
    unknown = sorted(set(methods or ()) - set(configs))
    if unknown:
        raise ConfigError(f'--methods has {unknown}; the methods are {sorted(configs)}')
    if methods is None:
        methods = [name for name in configs if not _only_wraps(BALANCERS.get(name))]
    return {name: configs[name] for name in methods}


def _only_wraps(kind: type[Balancer]) -> bool:
    return issubclass(kind, Wrapper) and kind.regulariser is Wrapper.regulariser


class Candidate:
    """A method on the joint model, which keeps its state between steps.

    Args:
        model: The joint model, whose balancer it replaces in its steps.
        cfg: Config of the method.
        own: Clock of the method's own time.
        grad_similarity_interval: As in ``AllInOne``.
    """

    def __init__(
        self, model: AllInOne, cfg: Mapping, own: OwnTime, grad_similarity_interval: int = 0
    ):
        self.model, self.own, self.grad_similarity_interval = model, own, grad_similarity_interval
        self.balancer = BALANCERS.build(cfg).to(device())
        self.balancer.bind(list(model.tasks))
        if self.balancer.uses_metrics:
            self.balancer.after_validation({f'{task}/kpi': 0.5 for task in model.tasks})
        self._step: BalancedStep | None = None

    def step(self, batches: Mapping[str, dict], wrapper, measure=seconds):
        """Return ``measure`` of one training step on a copy of ``batches``."""
        model, data = self.model, copy.deepcopy(batches)
        model.balancer, model._step = self.balancer, self._step
        model._step_options['grad_similarity_interval'] = self.grad_similarity_interval
        torch.manual_seed(0)  # the same dropout for all
        found = measure(lambda: model.train_step(data, wrapper))
        if self._step is None:
            self._step = model._step
            for name in PARTS:
                self.own.within(self._step, name)
        return found

    def timed_step(self, batches: Mapping[str, dict], wrapper) -> tuple[float, float]:
        """Seconds of a step, and the method's own time in it."""
        self.own.take()
        return self.step(batches, wrapper), self.own.take()

    def limits(self) -> tuple[float, float | None]:
        """Limits of time (in steps of fixed weights) and memory (in backbone gradients)."""
        if self.balancer.regulariser is not None:
            # It keeps the activations of all tasks, which have no bound in backbone gradients.
            return REGULARISER_LIMIT, None
        if self.balancer.requires == 'losses':
            return LOSS_LIMIT, 0
        return GRADIENT_LIMIT, len(self.model.tasks) + 1


def measure_balancers(cfg, rounds: int, methods: Sequence[str] | None = None) -> dict:
    """Time and memory of a training step by method, against ``FixedWeights``.

    All methods share one model, one optimizer (at learning rate 0, so that every step is the same
    work) and one batch per task and round. A step of fixed weights precedes each method's step. A
    method's own time is that of its code, without the tasks' forward and backward passes. Memory is
    that of a method's first step. Tasks' gradients are compared for the log only in the row that
    measures the cost of that.

    Args:
        cfg: A config of a joint model.
        rounds: Measured rounds, after one warm-up round.
        methods: Names in ``BALANCERS``. Default: all except wrappers.

    Returns:
        ``device``, ``threads``, ``tasks``, ``rounds``, ``fixed_s`` (seconds),
        ``backbone_gradient_bytes``; ``methods``: for each the result of :func:`time_ratio`,
        ``time_limit``, ``memory`` (peak beyond that of fixed weights, in backbone gradients),
        ``memory_limit`` and ``holds``; ``compared``: the same values, without limits, of fixed
        weights on a step that compares the gradients; ``amortised_ratio``: its mean time at the
        default ``grad_similarity_interval``, which is also returned.

    Raises:
        ConfigError: If a method is unknown or does not fit the tasks.
    """
    with OwnTime() as own:
        return _measure(cfg, rounds, methods, own)


def _measure(cfg, rounds: int, methods: Sequence[str] | None, own: OwnTime) -> dict:
    with DefaultScope.overwrite_default_scope('allinone'):
        model = MODELS.build(cfg.model)
        model.to(device()).train()
        optim_cfg = copy.deepcopy(cfg.optim_wrapper)
        optim_cfg.pop('accumulative_counts', None)
        wrapper = build_optim_wrapper(model, optim_cfg)
    for group in wrapper.param_groups:
        group['lr'] = 0.0
    own.without(wrapper, 'backward')
    fixed = Candidate(model, dict(type='FixedWeights'), own)
    chosen = choose(method_configs(list(model.tasks)), methods)
    candidates = {name: Candidate(model, options, own) for name, options in chosen.items()}
    candidates[COMPARED] = Candidate(
        model, dict(type='FixedWeights'), own, grad_similarity_interval=1
    )

    batches = training_batches(cfg, model.tasks)
    first = next(batches)
    fixed.step(first, wrapper)  # creates the optimizer's state
    peak = _peak(fixed, first, wrapper)
    unit = sum(p.numel() * p.element_size() for p in model.backbone.parameters() if p.requires_grad)
    memory = {
        name: (_peak(candidate, first, wrapper) - peak) / unit
        for name, candidate in candidates.items()
    }

    fixed_s: dict[str, list] = {name: [] for name in candidates}
    taken: dict[str, list] = {name: [] for name in candidates}
    for _, batch in zip(range(rounds), batches):
        for name, candidate in candidates.items():
            fixed_s[name].append(fixed.timed_step(batch, wrapper))
            taken[name].append(candidate.timed_step(batch, wrapper))
    rows = {
        name: _row(candidate, time_ratio(taken[name], fixed_s[name]), memory[name])
        for name, candidate in candidates.items()
    }
    compared = rows.pop(COMPARED)
    interval = inspect.signature(AllInOne).parameters['grad_similarity_interval'].default
    return dict(
        device=torch.cuda.get_device_name() if device().type == 'cuda' else 'cpu',
        threads=torch.get_num_threads(),
        tasks=len(model.tasks),
        rounds=rounds,
        fixed_s=statistics.median(step for steps in fixed_s.values() for step, _ in steps),
        backbone_gradient_bytes=unit,
        grad_similarity_interval=interval,
        compared={key: value for key, value in compared.items() if key not in JUDGED},
        amortised_ratio=1 + (compared['time_ratio'] - 1) / interval,
        methods=rows,
    )


def _peak(candidate: Candidate, batches: Mapping[str, dict], wrapper) -> int:
    return candidate.step(batches, wrapper, lambda call: peak_memory(call, device()))


def _row(candidate: Candidate, time: dict, memory: float) -> dict:
    time_limit, memory_limit = candidate.limits()
    if candidate.balancer.regulariser is not None:
        # It also makes the backward passes longer.
        time = time | dict(time_ratio=time['whole_ratio'])
    return dict(
        **time,
        time_limit=time_limit,
        memory=memory,
        memory_limit=memory_limit,
        holds=time['time_ratio'] <= time_limit
        and (memory_limit is None or memory <= max(memory_limit, FEW_NUMBERS)),
    )


def balancers_table(found: dict) -> str:
    """The result of :func:`measure_balancers` as a Markdown table with an explanation."""
    lines = [
        f'| method | time | limit | whole steps ({interval_name(found["rounds"])}) | memory '
        '| limit | holds |',
        '|---|---:|---:|---:|---:|---:|---|',
    ]
    for name, row in {**found['methods'], COMPARED: found['compared']}.items():
        limits = [row.get('time_limit'), row.get('memory_limit')]
        limits = ['' if limit is None else f'{limit:g}' for limit in limits]
        holds = {None: '', True: 'yes', False: 'no'}[row.get('holds')]
        lines.append(
            f'| {name} | {row["time_ratio"]:.3f} | {limits[0]} | {whole_cell(row)} | '
            f'{round(row["memory"], 2) + 0:.2f} | {limits[1]} | {holds} |'
        )
    return '\n'.join(
        [
            *lines,
            '',
            f'Time: 1 and what the own time of a method adds, as a share of a step of FixedWeights '
            f'({found["fixed_s"]:.3f} s); of a regulariser, and on a GPU, that of whole steps. '
            f'Medians of {found["rounds"]} rounds on {found["device"]}, {found["threads"]} CPU '
            'threads.',
            f'Memory: at the peak of a step beyond that of FixedWeights, in backbone gradients of '
            f'{found["backbone_gradient_bytes"] / 2**20:.1f} MiB; {found["tasks"]} tasks.',
            f'Gradients compared for the log at every {found["grad_similarity_interval"]}th step, '
            f'the default: {found["amortised_ratio"]:.4f} on average.',
        ]
    )
