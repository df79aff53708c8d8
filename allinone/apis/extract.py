"""Fewer tasks out of a joint model, without training: also as a stock model of one library."""

import os
import os.path as osp
import sys
from collections.abc import Mapping, Sequence

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from allinone.engine.checkpoint import read_checkpoint, require_weights, state_dict_of
from allinone.engine.config_check import check_config
from allinone.errors import AllInOneError, ConfigError
from allinone.models.stock import stock_model_config
from allinone.registry import MODELS

from .inferencer import dataset_metainfo
from .outputs import require_writable
from .run import load_config

STOCK_TYPES = {
    'allinone.PictureList': 'CustomDataset',
    'allinone.DetectionMetric': 'CocoMetric',
    'allinone.SegmentationMetric': 'IoUMetric',
}
VISUALIZERS = dict(
    mmpretrain='UniversalVisualizer', mmdet='DetLocalVisualizer', mmseg='SegLocalVisualizer'
)
STAGES = ('train', 'val', 'test')


def extract(
    cfg: Config, checkpoint: str | os.PathLike, tasks: Sequence[str], out: str | os.PathLike
) -> dict[str, int]:
    """Write the sub-network of some tasks of a joint model.

    ``OUT/config.py`` and ``OUT/model.pth`` are an allinone model of these tasks. Of one task there
    are also ``OUT/stock_config.py`` and ``OUT/stock.pth``, which the task's own library loads
    without allinone.

    Args:
        cfg: The joint config.
        checkpoint: A checkpoint of it.
        tasks: Which tasks.
        out: A folder, made if it is not there.

    Returns:
        Numbers of parameters: ``'joint'``, ``'extracted'``.

    Raises:
        ConfigError: If a task is unknown, or a file is there already.
        CheckpointError: If the checkpoint cannot be read, or lacks weights of trunk or tasks.
    """
    unknown = [task for task in tasks if task not in cfg.model.tasks]
    if unknown:
        raise ConfigError(f'--tasks has {unknown}; {cfg.filename} has {list(cfg.model.tasks)}')
    names = ['config.py', 'model.pth'] + (['stock_config.py', 'stock.pth'] * (len(tasks) == 1))
    there = [name for name in names if osp.exists(osp.join(out, name))]
    if there:
        raise ConfigError(f'--out {out} has {there} already; name another folder')
    loaded = read_checkpoint(checkpoint)
    state = state_dict_of(loaded, checkpoint)
    # Built and compared, so that nothing is written that would not load.
    require_weights(_build(cfg), state, tasks, checkpoint)
    told = (loaded.get('meta') or {}).get('dataset_meta') or {}
    metainfo = {task: told.get(task) or dataset_metainfo(cfg, task) for task in tasks}

    fewer = fewer_tasks(cfg, tasks)
    model = _build(fewer)
    kept = {
        name: value
        for name, value in state.items()
        if name.startswith(('backbone.', *(f'tasks.{task}.' for task in tasks)))
    }
    _write_config(fewer, osp.join(out, 'config.py'))
    _write_checkpoint(kept, dict(dataset_meta=metainfo), osp.join(out, 'model.pth'))
    if len(tasks) == 1:
        prefix = f'tasks.{tasks[0]}.'
        _write_config(stock_config(cfg, tasks[0]), osp.join(out, 'stock_config.py'))
        _write_checkpoint(
            {name.removeprefix(prefix): value for name, value in kept.items()},
            dict(dataset_meta=metainfo[tasks[0]]),
            osp.join(out, 'stock.pth'),
        )
    return dict(
        joint=sum(
            value.numel()
            for name, value in state.items()
            if name.startswith(('backbone.', 'tasks.')) and _is_parameter(name)
        ),
        extracted=sum(parameter.numel() for parameter in model.parameters()),
    )


def _build(cfg: Config) -> nn.Module:
    with DefaultScope.overwrite_default_scope('allinone'):
        return MODELS.build(cfg.model)


def _is_parameter(name: str) -> bool:
    return not name.endswith(('running_mean', 'running_var', 'num_batches_tracked'))


def fewer_tasks(cfg: Config, tasks: Sequence[str]) -> Config:
    """A joint config with some of its tasks; of the score, what they have of it."""
    fewer = Config(cfg.to_dict())

    def keep(section: Mapping) -> ConfigDict:
        return ConfigDict({task: value for task, value in section.items() if task in tasks})

    fewer.model.tasks = keep(fewer.model.tasks)
    # Its options may name tasks that are gone, and nothing is left to balance by them.
    fewer.model.pop('balancer', None)
    for key in [f'{stage}_dataloader' for stage in STAGES] + ['val_evaluator', 'test_evaluator']:
        if fewer.get(key):
            fewer[key] = keep(fewer[key])
    for key in ('val_cfg', 'test_cfg'):
        score = (fewer.get(key) or {}).get('score')
        if score:
            left = {name: factor for name, factor in score.items() if name.split('/')[0] in tasks}
            fewer[key].pop('score')
            if left:
                fewer[key].score = ConfigDict(left)
    return fewer


def stock_config(cfg: Config, task: str) -> Config:
    """A config of one task for mmpretrain's, mmdet's or mmseg's own tools, to test and to infer."""
    model = stock_model_config(cfg.model, task)
    scope, model.type = model.type.split('.', 1)
    stock = dict(
        default_scope=scope,
        model=model.to_dict(),
        visualizer=dict(
            type=VISUALIZERS[scope], name='visualizer', vis_backends=[dict(type='LocalVisBackend')]
        ),
    )
    backbone_scope = model.backbone.type.split('.')[0]
    if backbone_scope != scope:
        stock['custom_imports'] = dict(
            imports=[f'{backbone_scope}.models'], allow_failed_imports=False
        )
    loader = _without_allinone(cfg.test_dataloader[task].to_dict())
    loader.setdefault('sampler', dict(type='DefaultSampler', shuffle=False))
    evaluator = _without_allinone(cfg.test_evaluator[task])
    stock['test_pipeline'] = loader['dataset']['pipeline']
    for stage, loop in (('val', 'ValLoop'), ('test', 'TestLoop')):
        stock[f'{stage}_dataloader'] = loader
        stock[f'{stage}_evaluator'] = evaluator
        stock[f'{stage}_cfg'] = dict(type=loop)
    return Config(stock)


def _without_allinone(part):
    """Stock types in place of the suite's own, which are these but for their checks."""
    if isinstance(part, Mapping):
        found = {key: _without_allinone(value) for key, value in part.items() if key != '_scope_'}
        if found.get('type') in STOCK_TYPES:
            found['type'] = STOCK_TYPES[found['type']]
        return found
    if isinstance(part, (list, tuple)):
        return type(part)(_without_allinone(value) for value in part)
    return part


def _write_config(cfg: Config, path: str) -> None:
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    with open(f'{path}.tmp', 'w', encoding='utf-8') as file:
        file.write(cfg.pretty_text)
    os.replace(f'{path}.tmp', path)


def _write_checkpoint(state: dict, meta: dict, path: str) -> None:
    torch.save(dict(state_dict=state, meta=meta), f'{path}.tmp')
    os.replace(f'{path}.tmp', path)


def run_extract(args) -> int:
    """What ``tools/extract.py`` does; the exit status."""
    try:
        cfg = load_config(args.config, args.cfg_options)
        check_config(cfg)
        require_writable('--out', args.out, folder=True)
        counts = extract(cfg, args.checkpoint, args.tasks, args.out)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(
        f'{", ".join(args.tasks)} in {args.out}: {counts["extracted"]:,} of the '
        f'{counts["joint"]:,} parameters'
    )
    return 0
