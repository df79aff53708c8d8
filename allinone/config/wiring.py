"""Channels, strides and levels of tasks that follow from the backbone's feature maps."""

import copy
import functools
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from allinone.registry.kinds import Kind

from .check import check_shared_neck
from .class_numbers import kind_of_task
from .feature_maps import feature_maps, maps_of_neck
from .notes import say
from .parts import BACKBONE, SHARED_NECK


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
    neck = model.get(SHARED_NECK)
    users: tuple[str, ...] = ()
    if neck is not None:
        users = tuple(check_shared_neck(neck, list(tasks))['tasks'])
        _wire_neck(cfg, neck, kind_of_task(users[0], tasks[users[0]]), maps)
    after_neck = functools.cache(lambda: maps_of_neck(f'model.{SHARED_NECK}', neck, maps()))
    for task, part in tasks.items():
        kind, of_neck = kind_of_task(task, part), task in users
        if kind is None:
            continue
        filled = kind.wire(f'model.tasks.{task}', part, after_neck if of_neck else maps, of_neck)
        if filled:
            giver = 'shared neck' if of_neck else 'backbone'
            say(f'task {task!r} follows the {giver}: {filled}')


def _wire_neck(cfg: Config, neck: Any, kind: Kind | None, maps) -> None:
    if kind is not None and (filled := kind.wire_neck(f'model.{SHARED_NECK}', neck, maps)):
        say(f'the shared neck follows the backbone: {filled}')
    paramwise = (cfg.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    options = paramwise.get('custom_keys') or {}
    # Names are matched by parts of them.
    named = any(SHARED_NECK in name or name in f'{SHARED_NECK}.' for name in options)
    if BACKBONE in options and not named:
        options[SHARED_NECK] = copy.deepcopy(options[BACKBONE])
        say(f'the shared neck has the options of the backbone: {dict(options[BACKBONE])}')
