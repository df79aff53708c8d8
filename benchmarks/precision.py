"""A joint training step in float32 and bfloat16, in either memory layout, and compiled."""

import copy
import itertools
import statistics
from collections.abc import Sequence

import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from allinone.data.loaders import training_batches
from allinone.errors import ConfigError
from allinone.registry import MODELS
from allinone.registry.options import check_choice

from .measure import device, seconds
from .step import upstream_model

AMP = dict(type='AmpOptimWrapper', dtype='bfloat16')
# The optimizer wrapper, and changes of the model config
KINDS = {
    'float32': (dict(type='OptimWrapper'), dict(channels_last=False)),
    'bfloat16': (AMP, dict(channels_last=False)),
    'channels_last': (AMP, dict(channels_last=True)),
    'compiled': (AMP, dict(channels_last=True, compile_backbone=True)),
}
OF_AMP = ('type', 'dtype', 'loss_scale', 'use_fp64')
WARM_UP = 5  # Steps that are not measured: compilation and selection of kernels


def measure_precision(cfg, rounds: int, kinds: Sequence[str] | None = None) -> dict:
    """Times and memory of training steps on batches that are in memory.

    Args:
        cfg: A config of a joint model.
        rounds: Measured steps of each model; the values are medians.
        kinds: Names in ``KINDS``; default: all.

    Returns:
        ``device``; ``images`` per step; ``kinds``: for each ``joint_s`` and ``upstream_s`` (seconds
        per step; the sum of the upstream models, which are not compiled), ``images_s`` and
        ``upstream_images_s`` (per second), ``joint_bytes`` and ``upstream_bytes``: peak allocated
        memory in a step, the largest of the upstream models.

    Raises:
        ConfigError: If there is no GPU, or a kind is unknown.
    """
    for kind in kinds or ():
        check_choice('--kinds', kind, list(KINDS))
    if device().type == 'cpu':
        raise ConfigError('AmpOptimWrapper needs a GPU, and there is none; run precision on one')
    rows = {}
    with DefaultScope.overwrite_default_scope('allinone'):
        names = list(cfg.model.tasks)
        batches = list(itertools.islice(training_batches(cfg, names), 2))
        for kind in kinds or KINDS:
            wrapper, options = KINDS[kind]
            changed = copy.deepcopy(cfg)
            changed.model.update(dict(grad_similarity_interval=0, compile_backbone=False) | options)
            for key in OF_AMP:
                changed.optim_wrapper.pop(key, None)
            changed.optim_wrapper.update(wrapper)
            joint = MODELS.build(changed.model)
            upstream = {task: upstream_model(joint, changed.model, task) for task in names}
            joint_s, joint_bytes = _steps(joint, changed.optim_wrapper, batches, rounds)
            found = {
                task: _steps(
                    model, changed.optim_wrapper, [batch[task] for batch in batches], rounds
                )
                for task, model in upstream.items()
            }
            rows[kind] = dict(
                joint_s=joint_s,
                upstream_s=sum(time for time, _ in found.values()),
                joint_bytes=joint_bytes,
                upstream_bytes=max(size for _, size in found.values()),
            )
    images = statistics.mean(
        sum(len(part['inputs']) for part in batch.values()) for batch in batches
    )
    for row in rows.values():
        row['images_s'] = images / row['joint_s']
        row['upstream_images_s'] = images / row['upstream_s']
    return dict(
        device=torch.cuda.get_device_name(),
        images=images,
        kinds=rows,
    )


def _steps(
    model: nn.Module, optim_wrapper: ConfigDict, batches: list, rounds: int
) -> tuple[float, int]:
    """Median seconds of a step and peak allocated bytes; moves the model to the host afterwards."""
    model.to(device()).train()
    wrapper = build_optim_wrapper(model, copy.deepcopy(optim_wrapper))
    times = []
    for number, batch in zip(range(WARM_UP + rounds), itertools.cycle(batches)):
        if number == WARM_UP:
            torch.cuda.reset_peak_memory_stats()
        data = copy.deepcopy(batch)
        times.append(seconds(lambda d=data: model.train_step(d, wrapper)))
    peak = torch.cuda.max_memory_allocated()
    model.zero_grad()
    model.cpu()
    return statistics.median(times[WARM_UP:]), peak


def precision_table(found: dict) -> str:
    """The result of :func:`measure_precision` as a Markdown table."""
    lines = [
        '| | ms a step | images/s | MiB | upstream: ms | images/s | MiB | joint / upstream |',
        '|---|---:|---:|---:|---:|---:|---:|---:|',
    ]
    for kind, row in found['kinds'].items():
        lines.append(
            f'| {kind} | {1e3 * row["joint_s"]:.1f} | {row["images_s"]:.0f} '
            f'| {row["joint_bytes"] / 2**20:.0f} | {1e3 * row["upstream_s"]:.1f} '
            f'| {row["upstream_images_s"]:.0f} | {row["upstream_bytes"] / 2**20:.0f} '
            f'| {row["joint_s"] / row["upstream_s"]:.3f} |'
        )
    lines += [
        '',
        f'Training steps of {found["images"]:g} images in memory, on {found["device"]}; '
        'medians. Upstream: the sum of the single-task models (of memory the largest), not '
        'compiled.',
    ]
    return '\n'.join(lines)
