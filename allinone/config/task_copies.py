"""``copy_of='TASK'`` in the config of a task: the config of another task, to change in place."""

from typing import Any

from mmengine.config import Config, ConfigDict

from allinone.errors import ConfigError

from .merging import merged, separate
from .notes import say
from .parts import SHARED_NECK

KEY = 'copy_of'


def expand_copies(cfg: Config) -> None:
    """Replace ``copy_of`` in each task by the task that it names, with its other keys merged over.

    Every task gets dictionaries of its own, also where a base's variable was used for several.

    Args:
        cfg: A config of any style, changed in place.

    Raises:
        ConfigError: If there is no such task, or tasks are copies of each other.
    """
    model = dict.get(cfg._cfg_dict, 'model')
    tasks = dict.get(model, 'tasks') if isinstance(model, dict) else None
    if not isinstance(tasks, dict):
        return
    _share_neck(model, tasks)
    found = {name: _expanded(tasks, name, ()) for name in dict.keys(tasks)}
    for name, task in found.items():
        dict.__setitem__(tasks, name, task)


def _share_neck(model: Any, tasks: dict) -> None:
    """Let copies of tasks that use the shared neck use it, too."""
    neck = dict.get(model, SHARED_NECK)
    if not isinstance(neck, dict):
        return
    users = dict.get(neck, 'tasks')
    if not isinstance(users, (list, tuple)):
        return
    users = list(users)
    origins = {
        name: dict.get(task, KEY) for name, task in dict.items(tasks) if isinstance(task, dict)
    }
    while joining := [n for n, of in origins.items() if of in users and n not in users]:
        users += joining
        say(f'copies use the shared neck as their originals do: {", ".join(joining)}')
    dict.__setitem__(neck, 'tasks', tuple(users))


def _expanded(tasks: dict, name: str, around: tuple[str, ...]):
    task = dict.get(tasks, name)
    if not isinstance(task, dict) or KEY not in task:
        return separate(task)
    source = dict.__getitem__(task, KEY)
    key = f'model.tasks.{name}.{KEY}'
    if source not in tasks:
        others = [other for other in dict.keys(tasks) if other != name]
        raise ConfigError(f'{key} is {source!r}, which is no task; name one of {others}')
    around = (*around, name)
    if source in around:
        raise ConfigError(
            f'{key} is {source!r}, which is a copy of {name!r} itself; write one of them out'
        )
    changes = {key: value for key, value in dict.items(task) if key != KEY}
    return ConfigDict(merged(changes, _expanded(tasks, source, around)))
