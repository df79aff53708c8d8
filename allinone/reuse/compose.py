"""Training-free composition of a joint model from single-task models of one architecture."""

import math
import os
import os.path as osp
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from mmengine.config import Config
from torch import Tensor

from allinone.checkpoint.loading import (
    read_checkpoint,
    require_weights,
    state_dict_of,
    trusting_checkpoints,
)
from allinone.checkpoint.shards import all_read
from allinone.checkpoint.sources import parts_for
from allinone.checkpoint.zoo import local_checkpoint
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.config.parts import BACKBONE, SHARED_NECK, is_shared_weight
from allinone.errors import AllInOneError, CheckpointError, ConfigError
from allinone.inference.records import dataset_metainfo
from allinone.io.atomic import write_durably
from allinone.io.outputs import require_writable
from allinone.io.program import program
from allinone.io.renames import renamed_arguments
from allinone.io.text import shortened
from allinone.models.joint import build_network
from allinone.tasks.class_lists import misplaced, names_of

STATISTICS = ('running_mean', 'running_var')

State = dict[str, Tensor]


def average(backbones: Mapping[str, State], weights: Mapping[str, float]) -> State:
    """Weighted mean of the backbones; the maximum for integers (batch norm's counters).

    Running means and variances of batch norm are averaged, too, but do not match the averaged
    weights: continue training, or re-estimate them.

    Args:
        backbones: ``{task: state dict}``. A tensor that some lack, such as one of the shared neck,
            is averaged over the others.
        weights: ``{task: w}``, non-negative; divided by their sum.
    """
    found: State = {}
    for name in dict.fromkeys(name for backbone in backbones.values() for name in backbone):
        values = {task: part[name] for task, part in backbones.items() if name in part}
        first, total = next(iter(values.values())), sum(weights[task] for task in values)
        if first.is_floating_point():
            scaled = (weights[task] / total * value for task, value in values.items())
            found[name] = sum(scaled, first.new_zeros(()))
        else:
            found[name] = torch.stack(list(values.values())).amax(0)
    return found


def task_arithmetic(
    backbones: Mapping[str, State], ancestor: State, scales: Mapping[str, float]
) -> State:
    r"""The ancestor plus task vectors, :math:`\theta_0 + \sum_k s_k (\theta_k - \theta_0)`.

    `Ilharco et al. <https://arxiv.org/abs/2212.04089>`_; equal scales of 1 / K give the average.
    Running means and variances of batch norm are not weights, and a variance must not become
    negative: they are averaged over the backbones, and its counters are the maximum.

    Args:
        backbones: ``{task: state dict}``.
        ancestor: State dict of the backbone that all backbones were fine-tuned from.
        scales: ``{task: s}``; negative scales unlearn a task.
    """
    found = average(backbones, dict.fromkeys(backbones, 1.0))
    for name, value in ancestor.items():
        if value.is_floating_point() and not name.endswith(STATISTICS):
            found[name] = value + sum(
                scales[task] * (backbone[name] - value)
                for task, backbone in backbones.items()
                if name in backbone
            )
    return found


@renamed_arguments(trunk='backbone', ancestor='base_checkpoint')
def compose(
    cfg: Config,
    sources: Mapping[str, str],
    out: str | os.PathLike,
    backbone: str = 'average',
    weights: Mapping[str, float] | None = None,
    base_checkpoint: str | os.PathLike | None = None,
) -> None:
    """Write a checkpoint of the joint config from one checkpoint per task.

    Args:
        cfg: The joint config.
        sources: ``{task: checkpoint}``, from an upstream model of its library or from an allinone
            model with the task; a path, a URL or a name of the zoo. Tasks without one are left to
            train: ``out`` has no weights of them, so they cannot be tested before.
        out: The checkpoint to write; it contains the joint config, too.
        backbone: ``'average'``, ``'arithmetic'``, or the task whose backbone is used.
        weights: Non-negative weights of the average, default 1 each; or scales of task arithmetic,
            default 1 / K.
        base_checkpoint: For task arithmetic, the checkpoint that all models were fine-tuned from.

    Raises:
        ConfigError: If a task is unknown, a weight cannot be used, or ``out`` exists.
        CheckpointError: If a file cannot be read, or does not match the config.
    """
    if not sources or not set(sources) <= set(cfg.model.tasks):
        raise ConfigError(
            f'--checkpoints names {sorted(sources)}; {cfg.filename} has the tasks '
            f'{list(cfg.model.tasks)}'
        )
    tasks = [task for task in cfg.model.tasks if task in sources]
    if osp.exists(out):
        raise ConfigError(f'--out {out} exists; name another file')
    if backbone not in ('average', 'arithmetic', *tasks):
        raise ConfigError(
            f'--backbone is {backbone!r}; give average, arithmetic, or one of {tasks}, whose '
            'checkpoints are given'
        )
    if (backbone == 'arithmetic') != (base_checkpoint is not None):
        raise ConfigError(
            f'--base-checkpoint is {base_checkpoint!r} with --backbone {backbone}; arithmetic '
            'needs one'
        )
    weights = _checked_weights(weights or {}, tasks, backbone)
    model = build_network(cfg)
    own = model.state_dict()
    shapes = {name: value.shape for name, value in own.items() if is_shared_weight(name)}
    backbones: dict[str, State] = {}
    heads: State = {}
    metainfo: dict[str, dict] = {}
    classes: dict[str, tuple] = {}
    sources = {
        task: local_checkpoint(path, f'--checkpoints {task}') for task, path in sources.items()
    }
    for task, path in sources.items():
        loaded, key = read_checkpoint(path), f'--checkpoints {task}'
        neck = model.upstream_neck(task)
        parts = parts_for(loaded, path, task, key, model.kinds[task].entry, neck)
        state = all_read({**parts.backbone, **parts.neck}) or state_dict_of(loaded, path)
        wanted = {name: shapes[name] for name in shapes if neck is not None or not _of_neck(name)}
        backbones[task] = _backbone_of(state, wanted, path)
        heads |= all_read(dict(parts.head))
        expected = dataset_metainfo(cfg, task)
        metainfo[task] = parts.metainfo or expected
        classes[task] = names_of(metainfo[task]), names_of(expected)
    if backbone == 'average':
        merged = average(backbones, weights)
    elif backbone == 'arithmetic':
        assert base_checkpoint is not None
        base_checkpoint = local_checkpoint(base_checkpoint, '--base-checkpoint')
        state = state_dict_of(read_checkpoint(base_checkpoint), base_checkpoint)
        merged = task_arithmetic(backbones, _backbone_of(state, shapes, base_checkpoint), weights)
    else:
        # It may lack the shared neck, or levels of it.
        merged = average(backbones, dict.fromkeys(backbones, 1.0)) | backbones[backbone]
    state = merged | heads
    state = {name: value for name, value in state.items() if name in own}
    require_weights(model, state, tasks, ', '.join(map(str, sources.values())))
    for task, (theirs, ours) in classes.items():
        if theirs and ours and misplaced(theirs, ours):
            raise ConfigError(
                f'--checkpoints {task}={sources[task]} has the classes {shortened(theirs, 9)}, and '
                f'the data of {cfg.filename} {shortened(ours, 9)}; give both the same order'
            )
    os.makedirs(osp.dirname(osp.abspath(out)), exist_ok=True)
    checkpoint = dict(state_dict=state, meta=dict(dataset_meta=metainfo, cfg=cfg.pretty_text))
    write_durably(out, partial(torch.save, checkpoint))


def _of_neck(name: str) -> bool:
    return name.startswith(f'{SHARED_NECK}.')


def _backbone_of(state: State, shapes: Mapping[str, torch.Size], path) -> State:
    """The backbone's part of a state dict, or the full state dict of a backbone.

    It may lack the shared neck, or levels of it that its task does not use.

    Raises:
        CheckpointError: If it does not match the backbone of the joint config.
    """
    backbone = {name: value for name, value in state.items() if is_shared_weight(name)} or {
        f'{BACKBONE}.{name}': value for name, value in state.items()
    }
    # Files of old PyTorch versions lack the counter of batches.
    counters = (name for name in shapes if name.endswith('num_batches_tracked'))
    backbone = {**dict.fromkeys(counters, torch.tensor(0)), **backbone}
    wrong = [
        name
        for name, shape in shapes.items()
        if getattr(backbone.get(name), 'shape', None) != shape
        and (name in backbone or not _of_neck(name))
    ]
    if wrong:
        raise CheckpointError(
            f'{path} has another backbone than the joint config: {len(wrong)} of {len(shapes)} '
            f'tensors are missing or of another shape, such as {wrong[0]}'
        )
    return {name: backbone[name] for name in shapes if name in backbone}


def _checked_weights(
    given: Mapping[str, float], tasks: list[str], backbone: str
) -> dict[str, float]:
    if given and backbone in tasks:
        raise ConfigError(
            f'--weights gives {dict(given)}, but --backbone {backbone} takes one backbone as it '
            'is; leave one of the two out'
        )
    unknown = sorted(set(given) - set(tasks))
    if unknown:
        raise ConfigError(f'--weights names {unknown}; the tasks are {tasks}')
    default = 1 / len(tasks) if backbone == 'arithmetic' else 1.0
    weights = {task: given.get(task, default) for task in tasks}
    if not all(map(math.isfinite, weights.values())):
        raise ConfigError(f'--weights gives {weights}; give finite numbers')
    if backbone == 'average' and (min(weights.values()) < 0 or not any(weights.values())):
        raise ConfigError(
            f'--weights gives {weights}; make none negative, and at least one positive'
        )
    return weights


def _once(key: str, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Convert pairs from the command line to a dictionary.

    Raises:
        ConfigError: If a task occurs twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ConfigError(f'{key} names a task twice: {[name for name, _ in pairs]}')
    return found


def run_compose(args) -> int:
    """Implementation of ``tools/compose.py``; returns the exit status."""
    try:
        cfg = load_config(args.config, args.cfg_options)
        check_config(cfg)
        sources = _once('--checkpoints', args.sources)
        weights = {task: float(value) for task, value in _once('--weights', args.weights).items()}
        require_writable('--out', args.out)
        with trusting_checkpoints(args.trust_checkpoint):
            compose(cfg, sources, args.out, args.backbone, weights, args.base_checkpoint)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    left = [task for task in cfg.model.tasks if task not in sources]
    if left:
        print(
            f'{args.out} has no weights of {", ".join(left)}, which no checkpoint was given for: '
            f'load_from trains from it, and {program("test")} tests the others with --tasks'
        )
    else:
        print(f'{args.out}: test it with {program("test")}, or train on with load_from')
    return 0
