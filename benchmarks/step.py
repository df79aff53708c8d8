"""A joint training step against the upstream single-task steps that it replaces."""

import copy
import statistics

import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope

from allinone.data.loaders import training_batches
from allinone.models.allinone import AllInOne
from allinone.registry import MODELS
from allinone.reuse.upstream import upstream_model_config

from .measure import device, seconds


def upstream_model(joint: AllInOne, cfg: ConfigDict, task: str) -> torch.nn.Module:
    """Build a task's upstream model, with a separate backbone."""
    task_cfg = upstream_model_config(cfg, task)
    task_cfg.backbone.pop('init_cfg', None)
    task_cfg.pop('data_preprocessor', None)
    model = MMENGINE_MODELS.build(ConfigDict(task_cfg, _scope_=task_cfg.type.split('.')[0]))
    model.data_preprocessor = joint.tasks[task].data_preprocessor
    if joint.channels_last:
        model.to(memory_format=torch.channels_last)
    return model


def measure_step(cfg, rounds: int) -> dict:
    """Times and parameter counts, joint and upstream, in alternation on the same batches.

    Args:
        cfg: A config of a joint model.
        rounds: Measured rounds, after one warm-up round; the values are medians.

    Returns:
        ``joint_s`` and ``upstream_s`` (seconds per step, the latter ``{task: s}``), ``time_ratio``
        (joint / sum of upstream), ``joint_parameters``, ``upstream_parameters``,
        ``parameter_ratio``.
    """
    with DefaultScope.overwrite_default_scope('allinone'):
        cfg.model.grad_similarity_interval = 0
        joint = MODELS.build(cfg.model)
        models = {'joint': joint} | {
            task: upstream_model(joint, cfg.model, task) for task in joint.tasks
        }
        wrappers = {
            name: build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
            for name, model in models.items()
        }
    for model in models.values():
        model.to(device()).train()
    times = {name: [] for name in models}
    for _, batches in zip(range(rounds + 1), training_batches(cfg, joint.tasks)):
        for name, model in models.items():
            data = copy.deepcopy(batches if name == 'joint' else batches[name])
            times[name].append(
                seconds(lambda m=model, d=data, w=wrappers[name]: m.train_step(d, w))
            )
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    parameters = {
        name: sum(param.numel() for param in model.parameters()) for name, model in models.items()
    }
    # One ratio per round, because noise of the machine affects both sides of it.
    ratios = [
        times['joint'][i] / sum(times[task][i] for task in joint.tasks)
        for i in range(1, rounds + 1)
    ]
    joint_s, joint_parameters = medians.pop('joint'), parameters.pop('joint')
    return dict(
        joint_s=joint_s,
        upstream_s=medians,
        time_ratio=statistics.median(ratios),
        joint_parameters=joint_parameters,
        upstream_parameters=parameters,
        parameter_ratio=joint_parameters / sum(parameters.values()),
    )


def step_table(found: dict) -> str:
    """The result of :func:`measure_step`, one line for each model."""
    lines = [
        f'upstream {name:<12} {value:8.3f} s  {found["upstream_parameters"][name]:>12,} parameters'
        for name, value in found['upstream_s'].items()
    ]
    upstream_parameters = sum(found['upstream_parameters'].values())
    return '\n'.join(
        [
            *lines,
            f'sum of upstream      {sum(found["upstream_s"].values()):8.3f} s  '
            f'{upstream_parameters:>12,} parameters',
            f'joint             {found["joint_s"]:8.3f} s  '
            f'{found["joint_parameters"]:>12,} parameters',
            f'joint / sum       {found["time_ratio"]:8.3f}    {found["parameter_ratio"]:>12.3f}',
        ]
    )
