"""Does the config hang together? Answered before a folder is made or a file is read."""

import difflib
import inspect
from collections.abc import Mapping

from mmengine.runner import Runner

from allinone.errors import ConfigError

STAGES = ('train', 'val', 'test')
EXTRA_KEYS = ('runner_type', 'custom_imports', 'model_wrapper_cfg', 'compile', 'sync_bn',
              'activation_checkpointing', 'efficient_conv_bn_eval', 'find_unused_parameters',
              'vis_backends', 'inference')
KNOWN_KEYS = {*inspect.signature(Runner.__init__).parameters, *EXTRA_KEYS} - {'self', 'cfg'}
LIKENESS = 0.85


def check_config(cfg: Mapping) -> None:
    """Raise :class:`ConfigError` for a misspelt top-level key or tasks that do not agree.

    A config may hold variables of its own, so a top-level key is refused only if it is nearly one
    that the runner knows.
    """
    for key in cfg:
        near = difflib.get_close_matches(key, KNOWN_KEYS, 1, LIKENESS)
        if key not in KNOWN_KEYS and near:
            raise ConfigError(f'the config has {key!r}; do you mean {near[0]!r}?')
    model = cfg.get('model') or {}
    tasks = model.get('tasks')
    if not isinstance(tasks, Mapping):
        raise ConfigError(f'model.tasks is {tasks!r}; give {{name: model config}}')
    for stage in STAGES:
        _check_stage(cfg, stage, list(tasks))


def _check_stage(cfg: Mapping, stage: str, tasks: list[str]) -> None:
    keys = [f'{stage}_dataloader', f'{stage}_cfg']
    keys += [f'{stage}_evaluator'] if stage != 'train' else []
    present = [key for key in keys if cfg.get(key) is not None]
    if not present:
        return
    absent = [key for key in keys if key not in present]
    if absent:
        raise ConfigError(f'the config has {", ".join(present)} but not {", ".join(absent)}')
    for key in keys:
        if key == f'{stage}_cfg':
            continue
        if not isinstance(cfg[key], Mapping) or 'type' in cfg[key] or 'dataset' in cfg[key]:
            raise ConfigError(f'{key} must be keyed by task: {{{", ".join(tasks)}}}')
        extra = [name for name in cfg[key] if name not in tasks]
        if extra:
            raise ConfigError(f'{key} has {extra}, which model.tasks does not have ({tasks}); '
                              'add the task, or remove the key')
    if stage == 'train':
        missing = [name for name in tasks if name not in cfg[keys[0]]]
        if missing:
            raise ConfigError(f'model.tasks has {missing}, but {keys[0]} does not; give each task '
                              'a data set, or remove the task')
