"""Training-free extraction of tasks from a joint model, also as a library's upstream model."""

import copy
import logging
import os
import os.path as osp
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS
from torch import Tensor, nn

from allinone.checkpoint.loading import (
    read_checkpoint,
    require_weights,
    state_dict_of,
    trusting_checkpoints,
)
from allinone.config.check import STAGES, check_config
from allinone.config.loading import load_config
from allinone.config.parts import BACKBONE, SHARED_NECK, is_shared_weight
from allinone.config.sources import TASKS, first_data, tasks_served
from allinone.data.fewer_tasks import without_other_tasks
from allinone.data.task_pipeline import pipeline_of_task
from allinone.errors import AllInOneError, ConfigError
from allinone.inference.records import dataset_metainfo
from allinone.io.atomic import write_durably, write_whole
from allinone.io.outputs import require_writable
from allinone.models.allinone import AllInOne
from allinone.models.joint import build_network
from allinone.registry import LIBRARIES
from allinone.registry.kinds import kind_of_config
from allinone.tasks import TaskKind

from .upstream import NoUpstreamForm, upstream_model_config

PREFIX = f'{BACKBONE}.'


def extract(
    cfg: Config, checkpoint: str | os.PathLike, tasks: Sequence[str], out: str | os.PathLike
) -> dict[str, int]:
    """Write the sub-network for some tasks of a joint model.

    ``OUT/config.py`` and ``OUT/model.pth`` are an allinone model of these tasks; the checkpoint
    contains the config, too, and is sufficient for inference. For a single task, this also writes
    ``OUT/upstream_config.py`` and ``OUT/upstream.pth``, which the task's library loads without
    allinone. Tasks with parts that only allinone has are an exception; the log names these parts.
    Predictions equal the joint model's bit for bit; those of the upstream model equal the joint
    model's with ``model.channels_last=False``, because an upstream model has no such layout.

    Args:
        cfg: The joint config.
        checkpoint: A checkpoint of it.
        tasks: Tasks to extract.
        out: A folder, created if missing.

    Returns:
        Numbers of parameters: ``'joint'`` of the full joint model, ``'extracted'`` of the written
        one, and of its parts ``'backbone'``, ``'shared_neck'`` if there is one, and each task by
        name.

    Raises:
        ConfigError: If a task is unknown, or a file exists already.
        CheckpointError: If the checkpoint cannot be read, or lacks weights of backbone or tasks.
    """
    unknown = [task for task in tasks if task not in cfg.model.tasks]
    if unknown:
        raise ConfigError(f'--tasks has {unknown}; {cfg.filename} has {list(cfg.model.tasks)}')
    names = ['config.py', 'model.pth'] + (
        ['upstream_config.py', 'upstream.pth'] * (len(tasks) == 1)
    )
    there = [name for name in names if osp.exists(osp.join(out, name))]
    if there:
        raise ConfigError(f'--out {out} has {there} already; name another folder')
    loaded = read_checkpoint(checkpoint)
    state = state_dict_of(loaded, checkpoint)
    # Build and compare first, so that only loadable files are written.
    joint = build_network(cfg)
    require_weights(joint, state, tasks, checkpoint)
    stored = (loaded.get('meta') or {}).get('dataset_meta') or {}
    metainfo = {task: stored.get(task) or dataset_metainfo(cfg, task) for task in tasks}

    fewer = fewer_tasks(cfg, tasks)
    upstream = None
    if len(tasks) == 1:
        model_type, backbone = cfg.model.tasks[tasks[0]].type, cfg.model.backbone.type
        own_types = [model_type] if model_type.split('.')[0] not in LIBRARIES else []
        own_types += [backbone] if _is_own_backbone(backbone) else []
        neck = fewer.model.get(SHARED_NECK)
        own_types += [neck.type] if neck and _is_own_backbone(neck.type) else []
        if not own_types:
            try:
                upstream = upstream_config(cfg, tasks[0], metainfo[tasks[0]])
            except NoUpstreamForm as error:
                text = f'no upstream form of {tasks[0]} is written: {error}'
                print_log(text, 'current', logging.WARNING)
            else:
                own_types = sorted(set(_own_types(upstream.to_dict())))
    if len(tasks) == 1 and own_types:
        print_log(
            f'no upstream form of {tasks[0]} is written: {own_types} are not in its library',
            'current',
            logging.WARNING,
        )
        upstream = None
    model = build_network(fewer)
    own = model.state_dict()
    kept = {name: value for name, value in state.items() if name in own and _is_network(name)}
    model.load_state_dict(kept, strict=False)
    write_whole(osp.join(out, 'config.py'), fewer.pretty_text.encode())
    meta = dict(dataset_meta=metainfo, cfg=fewer.pretty_text)
    _write_checkpoint(kept, meta, osp.join(out, 'model.pth'))
    if upstream is not None:
        write_whole(osp.join(out, 'upstream_config.py'), upstream.pretty_text.encode())
        entry = model.kinds[tasks[0]].entry
        _write_checkpoint(
            _of_fewer_maps(upstream_state(model, kept), upstream.model[entry], cfg.model.backbone),
            dict(dataset_meta=metainfo[tasks[0]]),
            osp.join(out, 'upstream.pth'),
        )
    return dict(
        joint=_parameters(joint),
        backbone=_parameters(model.backbone),
        **({'shared_neck': _parameters(model.shared_neck)} if model.shared_neck else {}),
        **{task: _parameters(model.tasks[task]) for task in tasks},
        extracted=_parameters(model),
    )


def upstream_state(model: AllInOne, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a joint model with one task, under the names of the task's library.

    Args:
        model: The model with loaded weights; the task's adapter is merged into the backbone's
            weights.
        state: The tensors to use, from the model's state dict.
    """
    ((name, task),) = model.tasks.items()
    prefix = f'tasks.{name}.'
    adapter = getattr(task, 'adapter', None)
    kept = {
        name: value for name, value in state.items() if not name.startswith(f'{prefix}adapter.')
    }
    if adapter is not None:
        with torch.no_grad():
            values = adapter.values(model.shared_part())
        start = '' if model.shared_neck is not None else 'backbone.'
        kept |= {f'{start}{name}': value for name, value in values.items()}
    kept = {name.removeprefix(prefix): value for name, value in kept.items()}
    neck = model.upstream_neck(name)
    if neck is not None:
        renamed = ((neck.upstream(name), value) for name, value in kept.items())
        kept = {name: value for name, value in renamed if name is not None}
    return kept


def _of_fewer_maps(
    state: dict[str, Tensor], backbone: Mapping, shared: Mapping
) -> dict[str, Tensor]:
    """Without weights of feature maps that an upstream backbone does not give, such as norms."""
    if backbone.get('out_indices') == shared.get('out_indices'):
        return state
    with torch.random.fork_rng([]):
        own = MMENGINE_MODELS.build(copy.deepcopy(backbone)).state_dict()
    return {
        name: value
        for name, value in state.items()
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) in own
    }


def _parameters(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _is_network(name: str) -> bool:
    return is_shared_weight(name) or name.startswith('tasks.')


def fewer_tasks(cfg: Config, tasks: Sequence[str]) -> Config:
    """A joint config with some of its tasks; the score is reduced to their metrics."""
    fewer = Config(cfg.to_dict())

    def keep(section: Mapping) -> ConfigDict:
        return ConfigDict({task: value for task, value in section.items() if task in tasks})

    fewer.model.tasks = keep(fewer.model.tasks)
    if fewer.model.get(SHARED_NECK):
        users = tuple(task for task in fewer.model.shared_neck.tasks if task in tasks)
        if users:
            fewer.model.shared_neck.tasks = users
        else:
            _without(fewer.model, SHARED_NECK)
    # These may name removed tasks, and only concern the finished training.
    _without(fewer.model, 'balancer', 'frozen', 'distill')
    _without(fewer, 'load_from', 'resume')
    for stage in STAGES:
        if fewer.get(f'{stage}_dataloader'):
            kept = without_other_tasks(fewer[f'{stage}_dataloader'], tasks)
            fewer[f'{stage}_dataloader'] = ConfigDict(kept)
        if fewer.get(f'{stage}_evaluator'):
            fewer[f'{stage}_evaluator'] = keep(fewer[f'{stage}_evaluator'])
    # A model with tasks added later only has data for the new tasks.
    if set(tasks_served(fewer.get('train_dataloader'))) != set(tasks):
        _without(fewer, 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
    for stage in ('val', 'test'):
        if not fewer.get(f'{stage}_dataloader'):
            _without(fewer, *(f'{stage}_{part}' for part in ('dataloader', 'evaluator', 'cfg')))
    for key in ('val_cfg', 'test_cfg'):
        score = (fewer.get(key) or {}).get('score')
        if score:
            left = {name: factor for name, factor in score.items() if name.split('/')[0] in tasks}
            fewer[key].pop('score')
            if left:
                fewer[key].score = ConfigDict(left)
        references = (fewer.get(key) or {}).pop('references', None)
        if references and (kept := keep(references)):
            fewer[key].references = kept
    return fewer


def _without(section: Config | ConfigDict, *keys: str) -> None:
    for key in keys:
        section.pop(key, None)


def upstream_config(cfg: Config, task: str, metainfo: Mapping) -> Config:
    """Config of one task for testing and inference with its library's tools.

    Args:
        cfg: The joint config.
        task: Name of the task.
        metainfo: Metadata of its data set, for classes that the config does not contain.
    """
    kind = kind_of_config(f'model.tasks.{task}', cfg.model.tasks[task])
    model = upstream_model_config(cfg.model, task)
    scope, model.type = model.type.split('.', 1)
    upstream = dict(
        default_scope=scope,
        model=model.to_dict(),
        visualizer=dict(
            type=kind.visualizer, name='visualizer', vis_backends=[dict(type='LocalVisBackend')]
        ),
    )
    backbone_scope = model[kind.entry].type.split('.')[0]
    if backbone_scope != scope:
        upstream['custom_imports'] = dict(
            imports=[f'{backbone_scope}.models'], allow_failed_imports=False
        )
    source = _evaluated(cfg, task)
    classes = list(metainfo.get('classes') or ())
    loader = _without_allinone(_upstream_loader(cfg, source, task, kind), classes, kind)
    loader.setdefault('sampler', dict(type='DefaultSampler', shuffle=False))
    upstream['test_pipeline'] = loader['dataset']['pipeline']
    if not kind.upstream_evaluates:
        return Config(upstream)
    evaluator = _without_allinone(cfg[f'{source}_evaluator'][task], classes, kind)
    for stage, loop in (('val', 'ValLoop'), ('test', 'TestLoop')):
        upstream[f'{stage}_dataloader'] = loader
        upstream[f'{stage}_evaluator'] = evaluator
        upstream[f'{stage}_cfg'] = dict(type=loop)
    return Config(upstream)


def _evaluated(cfg: Config, task: str) -> str:
    """The stage whose data and pipeline an upstream tool uses for testing and inference.

    Raises:
        ConfigError: If there is no such stage.
    """
    for stage in ('test', 'val'):
        if first_data(cfg, stage, task) is not None:
            return stage
    raise ConfigError(
        f'neither test_dataloader nor val_dataloader has {task!r}, so there is no pipeline for its '
        'upstream form; add it to one of them'
    )


def _upstream_loader(cfg: Config, stage: str, task: str, kind: TaskKind) -> dict:
    """The dataloader of a task; of a shared source, with the task's labels and a pipeline of it."""
    data = first_data(cfg, stage, task)
    assert data is not None  # as in _evaluated
    loader = copy.deepcopy(dict(Config(dict(loader=data.loader)).to_dict()['loader']))
    loader.pop(TASKS, None)
    if data.shared:
        steps = pipeline_of_task(loader['dataset'], task, kind)
        options = dict(test_mode=True) if loader['dataset'].get('test_mode') else {}
        steps = [_prefixed(step, step.get('_scope_') or 'allinone') for step in steps]
        loader['dataset'] = options | dict(loader['dataset']['labels'][task]) | dict(pipeline=steps)
    return loader


def _prefixed(part, scope: str):
    """A transform with the prefix of the library in which its name is looked up."""
    if isinstance(part, (list, tuple)):
        return type(part)(_prefixed(value, scope) for value in part)
    if not isinstance(part, Mapping):
        return part
    found = {key: _prefixed(value, scope) for key, value in part.items() if key != '_scope_'}
    name = found.get('type')
    if isinstance(name, str) and '.' not in name:
        for registry in (TRANSFORMS.children.get(scope, TRANSFORMS), TRANSFORMS):
            if name in registry.module_dict:
                return dict(found, type=f'{registry.scope}.{name}')
    return found


def _without_allinone(part, classes: list[str], kind: TaskKind):
    """Replace the suite's types by upstream types, which differ only in missing checks."""
    if isinstance(part, Mapping):
        found = {
            key: _without_allinone(value, classes, kind)
            for key, value in part.items()
            if key != '_scope_'
        }
        if found.pop('classes_from_file', None) is not None:
            found['metainfo'] = dict(found.get('metainfo') or {}, classes=classes)
        if found.get('type') in kind.upstream_types:
            found['type'] = kind.upstream_types[found['type']]
            found.pop('backend', None)  # an option of DetectionMetric alone
        return found
    if isinstance(part, (list, tuple)):
        return type(part)(_without_allinone(value, classes, kind) for value in part)
    return part


def _is_own_backbone(name: str) -> bool:
    """Whether no library has a backbone's type."""
    found = MMENGINE_MODELS.get(name)
    return found is None or found.__module__.split('.')[0] == 'allinone'


def _own_types(part) -> Iterator[str]:
    """Types of a config that only the suite has."""
    if isinstance(part, Mapping):
        kind = part.get('type')
        if isinstance(kind, str) and kind.startswith('allinone.'):
            yield kind
    if isinstance(part, (Mapping, list, tuple)):
        for value in part.values() if isinstance(part, Mapping) else part:
            yield from _own_types(value)


def _write_checkpoint(state: dict, meta: dict, path: str) -> None:
    write_durably(path, partial(torch.save, dict(state_dict=state, meta=meta)))


def run_extract(args) -> int:
    """Implementation of ``tools/extract.py``; returns the exit status."""
    try:
        cfg = load_config(args.config, args.cfg_options)
        check_config(cfg)
        require_writable('--out', args.out, folder=True)
        with trusting_checkpoints(args.trust_checkpoint):
            counts = extract(cfg, args.checkpoint, args.tasks, args.out)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    names = [name for name in (BACKBONE, SHARED_NECK, *args.tasks) if name in counts]
    parts = ', '.join(f'{name} {counts[name]:,}' for name in names)
    print(
        f'{", ".join(args.tasks)} in {args.out}: {counts["extracted"]:,} of the '
        f'{counts["joint"]:,} parameters ({parts})'
    )
    return 0
