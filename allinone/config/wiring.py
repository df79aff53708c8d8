"""Channels, strides and levels of tasks that follow from the backbone's feature maps."""

import functools
from collections.abc import Mapping

from mmengine.config import Config

from .class_numbers import kind_of_task
from .feature_maps import feature_maps
from .notes import say


def follow_backbone(cfg: Config) -> None:
    """Fill what tasks leave out, by the feature maps of the backbone, in place.

    The backbone is built, and run once, if a task leaves out something.

    Args:
        cfg: A config whose types have names.

    Raises:
        ConfigError: If the backbone cannot be built or run, or has no map that a task wants.
    """
    model = cfg.get('model')
    tasks = model.get('tasks') if isinstance(model, Mapping) else None
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    if not isinstance(tasks, Mapping) or not isinstance(backbone, Mapping):
        return
    if 'type' not in backbone:
        return  # Building it will say so.
    maps = functools.cache(functools.partial(feature_maps, 'model.backbone', backbone))
    for task, part in tasks.items():
        kind = kind_of_task(task, part)
        filled = kind.wire(f'model.tasks.{task}', part, maps) if kind is not None else ''
        if filled:
            say(f'task {task!r} follows the backbone: {filled}')
