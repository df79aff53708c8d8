"""A training step on images with labels of several tasks, against its parts and against others."""

import copy
from collections.abc import Callable, Mapping
from functools import partial

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from allinone.config.sources import sources_of
from allinone.data.loaders import training_batches
from allinone.data.shared_sample import labelled_batch
from allinone.errors import ConfigError
from allinone.models.allinone import AllInOne
from allinone.models.shared_images import Losses
from allinone.registry import MODELS

from .measure import at_most, device, interval_name, median_interval, seconds, verdict
from .saved_tensors import SavedTensors

KINDS = {
    'loss weighting': dict(type='FixedWeights'),
    'features': dict(type='MGDA', gradients='features'),
    'backbone': dict(type='MGDA', gradients='backbone'),
}
LIMIT, LOOP_LIMIT = 1.05, 1.10


class Gradients(OptimWrapper):
    """Leaves the parameters as they are, so that all that is measured computes the same."""

    def step(self, **kwargs) -> None:
        pass


def measure_shared(cfg, rounds: int) -> dict:
    """Times of a shared step, its parts, a plain loop and separate steps, in alternation.

    Args:
        cfg: A config of a joint model with a source of several tasks.
        rounds: Measured rounds, after one warm-up round.

    Returns:
        ``source``, ``tasks``, ``kinds`` ``{kind: ratios}``: of the step over its parts
        (``parts``), over a plain PyTorch loop (``loop``, for a loss weighting) and over one step
        for each task (``separate``), each ``[median, low, high]``; ``seconds``, medians of the
        parts; ``bytes`` of saved tensors.

    Raises:
        ConfigError: If no source serves several tasks.
    """
    shared = [name for name, tasks in sources_of(cfg.train_dataloader).items() if len(tasks) > 1]
    if not shared:
        raise ConfigError(
            f'train_dataloader has the sources {list(cfg.train_dataloader)}, each of one task; '
            'give a config with a source of several tasks (tasks=(...))'
        )
    source = shared[0]
    tasks = sources_of(cfg.train_dataloader)[source]
    models = {kind: _model(cfg, balancer, {source: tasks}) for kind, balancer in KINDS.items()}
    separate = {kind: _model(cfg, _plain(balancer), {}) for kind, balancer in KINDS.items()}
    times: dict[str, list[float]] = {}
    batches = training_batches(cfg, [source])
    for number, data in zip(range(rounds + 1), batches):
        batch = data[source]
        found: dict[str, float] = {}
        for kind, model in models.items():
            found |= {f'{kind}: {name}': time for name, time in _parts(model, tasks, batch).items()}
            found[kind] = seconds(partial(_step, model, {source: batch}))
            if kind == 'loss weighting':
                found['loop'] = seconds(partial(_loop, model, tasks, batch))
            apart = {task: labelled_batch(batch, task) for task in tasks}
            apart = {task: part for task, part in apart.items() if part['data_samples']}
            found[f'{kind}: separate'] = seconds(partial(_step, separate[kind], apart))
        if number:
            for name, time in found.items():
                times.setdefault(name, []).append(time)
    return dict(
        source=source,
        tasks=list(tasks),
        batch=len(batch['inputs']),
        rounds=rounds,
        kinds={kind: _ratios(times, kind, tasks) for kind in KINDS},
        seconds={name: median_interval(values)[0] for name, values in times.items()},
        bytes=_bytes(models['loss weighting'], source, tasks, batch),
    )


def _model(cfg, balancer: Mapping, sources: Mapping) -> AllInOne:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('allinone'):
        options = dict(copy.deepcopy(cfg.model), balancer=dict(balancer))
        model = MODELS.build(options | dict(grad_similarity_interval=0))
    model.init_weights()
    model.to(device()).train()
    if sources:
        model.bind_sources(sources)
    return model


def _plain(balancer: Mapping) -> dict:
    return {key: value for key, value in balancer.items() if key != 'gradients'}


def _step(model: AllInOne, data: Mapping) -> None:
    model.train_step(data, _wrapper(model))


def _wrapper(model: AllInOne) -> OptimWrapper:
    return Gradients(torch.optim.SGD(model.parameters(), lr=0.1))


def _parts(model: AllInOne, tasks, batch: Mapping) -> dict[str, float]:
    """Seconds of F, B and each H_k, each run alone."""
    losses = Losses(model, torch.enable_grad)
    kept: dict = {}

    def forward():
        kept['pass'] = losses.shared(tasks, batch)
        kept['maps'] = kept['pass'].maps

    def head(task: str):
        loss, _ = kept['pass'].losses(task, kept['leaves'])
        loss.backward()

    found = {'F': seconds(forward)}
    kept['leaves'] = type(kept['maps'])(m.detach().requires_grad_() for m in kept['maps'])
    for task in tasks:
        if losses.labelled(task, batch):
            found[f'H {task}'] = seconds(partial(head, task))
    reached = [(m, leaf.grad) for m, leaf in zip(kept['maps'], kept['leaves'])]
    reached = [(m, grad) for m, grad in reached if grad is not None]
    found['B'] = seconds(lambda: torch.autograd.backward(*map(list, zip(*reached))))
    model.zero_grad()
    return found


def _loop(model: AllInOne, tasks, batch: Mapping) -> None:
    """What one would write by hand: one forward pass, the sum of all losses, one backward pass."""
    losses = Losses(model, torch.enable_grad)
    images = losses.shared(tasks, batch)
    total = sum(
        images.losses(task, images.maps)[0] for task in tasks if losses.labelled(task, batch)
    )
    total.backward()
    model.zero_grad()


def _ratios(times: Mapping[str, list[float]], kind: str, tasks) -> dict:
    heads = [times[f'{kind}: H {task}'] for task in tasks if f'{kind}: H {task}' in times]
    passes = len(heads) if kind == 'backbone' else 1
    parts = [
        forward + passes * backward + sum(head)
        for forward, backward, *head in zip(times[f'{kind}: F'], times[f'{kind}: B'], *heads)
    ]
    others = {'parts': parts, 'separate': times[f'{kind}: separate']}
    if kind == 'loss weighting':
        others['loop'] = times['loop']
    return {
        name: list(median_interval([ours / other for ours, other in zip(times[kind], other_times)]))
        for name, other_times in others.items()
    }


def _bytes(model: AllInOne, source: str, tasks, batch: Mapping) -> dict[str, int]:
    """Peaks of saved tensors: of the step, its parts, and a plain loop."""
    losses = Losses(model, torch.enable_grad)

    def peak(call: Callable[[], object]) -> int:
        with SavedTensors() as saved:
            call()
        return saved.peak

    images = losses.shared(tasks, batch)
    found = {'backbone': peak(lambda: images.maps)}
    leaves = type(images.maps)(m.detach().requires_grad_() for m in images.maps)
    for task in tasks:
        if losses.labelled(task, batch):
            found[f'H {task}'] = peak(partial(images.losses, task, leaves))
    found['maps'] = sum(m.numel() * m.element_size() for m in images.maps)
    found['step'] = peak(partial(_step, model, {source: batch}))
    found['loop'] = peak(partial(_loop, model, tasks, batch))
    return found


def shared_table(found: dict) -> str:
    """The result of :func:`measure_shared` as text."""
    rounds = found['rounds']
    lines = [
        f'{found["source"]}: {", ".join(found["tasks"])}; {found["batch"]} images a step, '
        f'{rounds} rounds, median ({interval_name(rounds)})',
        f'{"":16}{"step":>9}  {"over its parts":24}{"over a plain loop":24}over separate steps',
    ]
    for kind, ratios in found['kinds'].items():
        cells = [
            '{:.3f} ({:.3f} to {:.3f})'.format(*ratios[name]) if name in ratios else '-'
            for name in ('parts', 'loop', 'separate')
        ]
        lines.append(
            f'{kind:16}{found["seconds"][kind]:7.3f} s  {cells[0]:24}{cells[1]:24}{cells[2]}'
        )
    for name, limit in (('parts', LIMIT), ('loop', LOOP_LIMIT)):
        for kind, ratios in found['kinds'].items():
            if name in ratios:
                holds = at_most(limit, *ratios[name][1:], rounds)
                lines.append(f'{kind}, over {name}: at most {limit}: {verdict(holds)}')
    parts = {name: value for name, value in found['bytes'].items() if name not in ('step', 'loop')}
    lines.append(
        f'saved tensors: step {found["bytes"]["step"] / 2**20:.1f} MiB, plain loop '
        f'{found["bytes"]["loop"] / 2**20:.1f} MiB; '
        + ', '.join(f'{name} {value / 2**20:.1f}' for name, value in parts.items())
    )
    return '\n'.join(lines)
