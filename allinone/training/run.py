"""Training and testing a config, from Python."""

import copy
import os
from collections.abc import Mapping
from typing import cast

from mmengine.config import Config
from mmengine.device import is_cuda_available
from torch import nn

from allinone.config.loading import finish_config, load_config
from allinone.data.fewer_tasks import without_other_tasks
from allinone.distributed.device import use_device
from allinone.distributed.launchers import variable_of
from allinone.errors import ConfigError
from allinone.io.exported import is_exported
from allinone.models.exported import ExportedModel
from allinone.registry import RUNNERS

from . import runner  # noqa: F401  # so that it is registered
from .graph_test import require_tasks


def train(
    config: str | os.PathLike | Config,
    seed: int | None = None,
    amp: bool = False,
    resume: str | os.PathLike | bool | None = None,
    force_resume: bool = False,
    device: str | None = None,
    **overrides,
) -> nn.Module:
    """Train a config.

    >>> allinone.train('configs/toy/mobilenetv2_toy.py', train_cfg=dict(max_iters=60))

    Args:
        config: Its path, or a config, which is not changed.
        seed: In place of the config's.
        amp: Train with mixed precision; needs a CUDA device.
        resume: A checkpoint to resume from, or ``'auto'`` (or True) for the newest of the work dir.
        force_resume: Resume though the run would be another one.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:N'``. Default: CUDA if available.
        **overrides: Keys of the config with their values; dictionaries are merged into the
            config's. Dotted keys are given as ``**{'train_cfg.max_iters': 60}``.

    Returns:
        The trained model, as mmengine's runner wraps it for several processes.

    Raises:
        ConfigError: If the config cannot be used, or an override has no effect.
        Stopped: If SIGTERM or SIGINT came; the state is saved.
    """
    use_device(device)
    cfg = _config_of(config, overrides)
    if seed is not None:
        cfg.merge_from_dict({'randomness.seed': seed})
    if amp:
        if not is_cuda_available():
            raise ConfigError('--amp needs a CUDA device, and there is none; leave it out')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if resume:
        newest = resume is True or resume == 'auto'
        cfg.resume = 'auto' if newest else True
        if not newest:
            cfg.load_from = os.fspath(cast(str, resume))
        cfg.force_resume = force_resume
    return build_runner(cfg).train()


def test(
    config: str | os.PathLike | Config,
    checkpoint: str,
    tasks: list[str] | None = None,
    show_dir: str | None = None,
    device: str | None = None,
    statistics: str | None = None,
    **overrides,
) -> dict[str, float]:
    """Metrics of a checkpoint, ``{'TASK/metric': value}`` and ``'score'``.

    Args:
        config: Its path, or a config, which is not changed.
        checkpoint: What to test: a checkpoint or an exported graph.
        tasks: Test only these.
        show_dir: Draw every tested image into this folder.
        device: As in :func:`train`.
        statistics: Write what the metrics were computed from, image by image, to this ``.npz``
            file, for :mod:`allinone.evaluation.intervals`.
        **overrides: As in :func:`train`.

    Raises:
        ConfigError: As :func:`build_test_runner`.
    """
    use_device(device)
    cfg = _config_of(config, overrides)
    hooks = [
        *([dict(type='PredictionVisualizationHook', out_dir=show_dir)] if show_dir else ()),
        *([dict(type='ImageStatisticsHook', out=statistics)] if statistics else ()),
    ]
    if hooks:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), *hooks]
    return build_test_runner(cfg, checkpoint, tasks).test()


def _config_of(config: str | os.PathLike | Config, overrides: Mapping) -> Config:
    if isinstance(config, Config):
        copied = copy.deepcopy(config)
        return finish_config(copied, config.filename or 'the config', overrides)
    return load_config(os.fspath(config), overrides)


def build_test_runner(cfg: Config, checkpoint: str, tasks: list[str] | None = None):
    """A runner that can only test.

    Args:
        cfg: A config; changed.
        checkpoint: What to test: a checkpoint or an exported graph.
        tasks: Test only these.

    Raises:
        ConfigError: If the config has no such task, or cannot be used.
        CheckpointError: If an exported graph cannot be loaded.
    """
    cfg.load_from = checkpoint
    cfg.resume = False
    for key in (
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'val_dataloader',
        'val_cfg',
        'val_evaluator',
        'auto_scale_lr',
    ):
        cfg.pop(key, None)
    if tasks:
        _keep_tasks(cfg, tasks)
    if not is_exported(checkpoint):
        return build_runner(cfg)
    graph = ExportedModel(os.path.expanduser(checkpoint))
    require_tasks(cfg, graph)
    built = build_runner(cfg)
    built.graph = graph
    return built


def build_runner(cfg: Config):
    """The runner of a config."""
    if cfg.launcher != 'none':
        # Before a folder is made
        variable_of(cfg.launcher, 'RANK')
    if isinstance(cfg.runner_type, str) and RUNNERS.get(cfg.runner_type) is None:
        raise ConfigError(
            f"runner_type is {cfg.runner_type!r}, which is no runner; use 'MultiDatasetRunner'"
        )
    return RUNNERS.build(cfg)


def _keep_tasks(cfg: Config, tasks: list[str]) -> None:
    unknown = [task for task in tasks if task not in cfg.model.tasks]
    if unknown:
        raise ConfigError(f'--tasks has {unknown}; {cfg.filename} has {list(cfg.model.tasks)}')
    cfg.test_dataloader = without_other_tasks(cfg.test_dataloader, tasks)
    cfg.test_evaluator = {
        task: value for task, value in cfg.test_evaluator.items() if task in tasks
    }
    score = cfg.test_cfg.pop('score', None) or {}
    if all(member.split('/')[0] in tasks for member in score):
        cfg.test_cfg.score = score
