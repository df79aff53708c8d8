"""Inter-task affinity (TAG) of a trained model, and the task groups derived from it.

`Fifty et al. 2021 <https://arxiv.org/abs/2109.04617>`_, "Efficiently Identifying Task Groupings
for Multi-Task Learning".
"""

import copy
import math
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from allinone.checkpoint.loading import read_checkpoint, trusting_checkpoints
from allinone.config.build_errors import named
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.config.sources import MIN_LABELLED, sources_of
from allinone.data.loaders import build_loader, in_this_process
from allinone.data.shared_sample import labelled_batch
from allinone.data.task_loaders import TaskLoaders
from allinone.errors import ConfigError
from allinone.io.atomic import write_json
from allinone.io.outputs import require_writable
from allinone.models.allinone import AllInOne
from allinone.models.joint import build_network, load_trained, on_device

from .affinity_plot import plot_affinity
from .lookahead import lookahead_affinity, seeded_on
from .task_groups import Groups, best_groups, suggestion


def measure_affinity(
    cfg: Config,
    checkpoint: str | os.PathLike,
    steps: int = 20,
    lr: float | None = None,
    device: str | None = None,
) -> dict:
    """:func:`lookahead_affinity` of a trained model on its training data, and the best groups.

    Args:
        cfg: A config of a joint model.
        checkpoint: Read without executing code from it.
        steps: Batches of each task.
        lr: Learning rate of the lookahead step. Default: the config's optimizer's rate of each
            backbone parameter, before any schedule.
        device: As in torch. Default: CUDA if available.

    Returns:
        ``tasks`` (names), ``affinity`` and ``standard_error`` (K x K lists: mean over the batches
        and its standard error, None with one batch), ``steps``, ``learning_rates`` (distinct
        values), ``groups`` (lists of names) and ``best_of_each_number``, ``[{'total', 'groups'}]``.

    Raises:
        ConfigError: If the config cannot be used or has one task, or a loss is 0 or non-finite in
            every batch.
        CheckpointError: If the checkpoint cannot be read, or lacks weights.
        DataError: If the training data cannot be used.
    """
    check_config(cfg)
    if lr is not None and not 0 < lr < math.inf:
        raise ConfigError(f'--lr is {lr!r}; give a number above 0')
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    with named('model'):
        model = build_network(cfg, distill=True)
    load_trained(model, read_checkpoint(checkpoint), checkpoint, key='checkpoint')
    on_device(model, device)
    names = list(model.tasks)
    if len(names) < 2:
        raise ConfigError(f'model.tasks has only {names}; affinity is between two or more')
    rates = _backbone_rates(model, cfg) if lr is None else [lr]
    seed = cfg.get('randomness', {}).get('seed') or 0
    # Creating a loader's iterator advances the global random generator.
    with seeded_on(model, 'loaders'):
        loaders = _loaders(model, cfg, seed)
        batches = (_batch(loaders, names) for _ in iter(int, 1))
        found = lookahead_affinity(model, islice(batches, steps), rates if lr is None else lr, seed)
    return dict(steps=steps, learning_rates=sorted(set(rates)), **summary(names, found))


def summary(names: Sequence[str], found: np.ndarray) -> dict:
    """Mean, standard error and groups of ``[N, K, K]`` affinities, ignoring NaN.

    Raises:
        ConfigError: If a pair has only NaN.
    """
    count = np.isfinite(found).sum(axis=0)
    lacking = [names[j] for j in np.flatnonzero((count == 0).any(axis=0))]
    if lacking:
        raise ConfigError(
            f'the losses of {lacking} are 0 or not finite, before or after the step, in all '
            f'{len(found)} batches; give a smaller --lr, or another checkpoint'
        )
    mean = np.nanmean(found, axis=0)
    squares = np.nansum((found - mean) ** 2, axis=0)
    error = np.sqrt(squares / np.maximum(count - 1, 1) / count)
    best = best_groups(mean)

    def named_groups(groups: Groups) -> list[list[str]]:
        return [[names[task] for task in group] for group in groups]

    return dict(
        tasks=list(names),
        affinity=mean.tolist(),
        standard_error=error.tolist() if count.min() > 1 else None,
        groups=named_groups(suggestion(best)),
        best_of_each_number=[
            dict(total=total, groups=named_groups(groups)) for total, groups in best.values()
        ],
    )


def _backbone_rates(model: AllInOne, cfg: Config) -> list[float]:
    """Learning rate of each trainable backbone parameter, by the config's parameter groups."""
    kept = ('optimizer', 'paramwise_cfg', 'constructor')
    wrapper = {key: value for key, value in (cfg.get('optim_wrapper') or {}).items() if key in kept}
    with (
        DefaultScope.overwrite_default_scope('allinone'),
        named('optim_wrapper'),
        _warnings_only(),
    ):
        groups = build_optim_wrapper(model, copy.deepcopy(wrapper)).param_groups
    rates = {id(param): group['lr'] for group in groups for param in group['params']}
    return [rates[id(param)] for param in model.shared_part().parameters() if param.requires_grad]


@contextmanager
def _warnings_only() -> Iterator[None]:
    """Context that hides mmengine's log line for each parameter with custom options."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    try:
        yield
    finally:
        logger.setLevel(level)


def _loaders(model: AllInOne, cfg: Config, seed: int) -> TaskLoaders:
    if not cfg.get('train_dataloader'):
        raise ConfigError('the config has no train_dataloader, whose batches affinity is of')
    sources = sources_of(cfg.train_dataloader)
    numbers = {task: model.kinds[task].num_classes(model.tasks[task]) for task in model.tasks}
    loaders = {
        source: build_loader(
            f'train_dataloader.{source}',
            source,
            # Each batch has labelled images of each task, whatever the config says.
            in_this_process(cfg.train_dataloader[source]) | {MIN_LABELLED: None},
            seed,
            numbers,
            True,
            False,
            min_labelled=model.min_labelled,
        )
        for source in sources
    }
    return TaskLoaders(loaders, tasks=sources)


def _batch(loaders: TaskLoaders, tasks: Sequence[str]) -> dict[str, dict]:
    """``{task: batch}``, each of the next batch of the first source that serves the task."""
    sources = {task: loaders.part(task).source for task in tasks}
    batches = {source: loaders.next(source) for source in dict.fromkeys(sources.values())}
    return {task: labelled_batch(batches[source], task) for task, source in sources.items()}


def format_affinity(found: Mapping) -> str:
    """Format affinities in percent, one row per stepping task, and the suggested groups."""
    names, errors = found['tasks'], found['standard_error']
    cells = [
        [
            f'{100 * value:+.3g}' + (f' ± {100 * errors[i][j]:.2g}' if errors else '')
            for j, value in enumerate(row)
        ]
        for i, row in enumerate(found['affinity'])
    ]
    first = max(map(len, ['step for', *names]))
    widths = [max(map(len, [name, *(row[j] for row in cells)])) for j, name in enumerate(names)]
    lines = [
        '  '.join([title.ljust(first), *(text.rjust(width) for text, width in zip(row, widths))])
        for title, row in zip(['step for', *names], [names, *cells])
    ]
    groups = [
        f'{len(best["groups"])} group{"s" * (len(best["groups"]) > 1)}: '
        + ' | '.join(', '.join(group) for group in best['groups'])
        + f' (total {100 * best["total"]:+.3g} %)'
        + (' <- suggested' if best['groups'] == found['groups'] else '')
        for best in found['best_of_each_number']
    ]
    rates = ' to '.join(dict.fromkeys(f'{f(found["learning_rates"]):g}' for f in (min, max)))
    title = f"Fall of each task's loss in %, SGD step of {rates}, mean of {found['steps']} batches:"
    return '\n'.join([title, *lines, '', *groups])


def run_affinity(args: Namespace) -> None:
    """Implementation of ``tools/analyze.py affinity``, which describes the arguments."""
    out = args.out or os.path.join(os.path.dirname(args.checkpoint), 'affinity.json')
    stem, suffix = os.path.splitext(out)
    if suffix.lower() not in ('.json', '.png'):
        raise ConfigError(f'--out is {out!r}; give a name in .json or .png')
    require_writable('--out', out)
    cfg = load_config(args.config, args.cfg_options)
    with trusting_checkpoints(args.trust_checkpoint):
        found = measure_affinity(cfg, args.checkpoint, args.steps, args.lr, args.device)
    print(format_affinity(found))
    write_json(f'{stem}.json', found)
    plot_affinity(found, f'{stem}.png')
    print(f'\n{stem}.json\n{stem}.png')
