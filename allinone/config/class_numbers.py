"""Numbers of classes that follow from a task's data, or from ``model.tasks.TASK.num_classes``."""

from collections.abc import Mapping
from contextlib import suppress

from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope

from allinone.errors import ConfigError
from allinone.registry.kinds import Kind, kind_of_config, model_class
from allinone.registry.options import check_count

from .build_errors import accepted_keys
from .data_sets import innermost
from .notes import say
from .sources import first_data

KEY = 'num_classes'
AUTO = 'auto'  # As if the number were left out, in the long form of data, too


def follow_data(cfg: Config, counts: Mapping[str, int | None]) -> None:
    """Set the numbers of classes of tasks to those of their data, in place.

    Args:
        cfg: A config whose types have names; tasks with ``num_classes`` keep it for
            :func:`follow_tasks`.
        counts: ``{task: number of classes}``; None: as the data set says, which may read its
            annotation file or list its folders. A data set that does not say it changes nothing.

    Raises:
        ConfigError: If something of the task depends on the number, and cannot follow.
    """
    for task, count in {**_asked(cfg), **counts}.items():
        part = cfg.model.tasks[task]
        kind = kind_of_task(task, part)
        if kind is None or KEY in part:
            continue
        count = count or _count_in_data(cfg, task, kind)
        if count is not None:
            _follow(task, part, kind, count, 'its data')


def _asked(cfg: Config) -> dict[str, None]:
    """The tasks whose number is ``'auto'``, which is removed."""
    model = cfg.get('model')
    tasks = model.get('tasks') if isinstance(model, Mapping) else None
    found = [
        task
        for task, part in (tasks.items() if isinstance(tasks, Mapping) else ())
        if isinstance(part, Mapping) and str(part.get(KEY)).lower() == AUTO
    ]
    for task in found:
        cfg.model.tasks[task].pop(KEY)
    return dict.fromkeys(found)


def follow_tasks(cfg: Config) -> None:
    """Replace ``num_classes`` of tasks by the same number in the parts that depend on it.

    Args:
        cfg: A config whose types have names, changed in place.

    Raises:
        ConfigError: If the number is none, no part takes it, or a part cannot follow.
    """
    model = cfg.get('model')
    tasks = model.get('tasks') if isinstance(model, Mapping) else None
    for task, part in (tasks or {}).items() if isinstance(tasks, Mapping) else ():
        kind = kind_of_task(task, part) if isinstance(part, Mapping) and KEY in part else None
        if kind is None or KEY in accepted_keys(model_class(part)):
            continue
        count = check_count(f'model.tasks.{task}.{KEY}', part.pop(KEY), 1)
        _follow(task, part, kind, count, f'model.tasks.{task}.{KEY}', required=True)


def kind_of_task(task: str, part) -> Kind | None:
    """The kind of a task; None where its type is wrong, which the build refuses."""
    with suppress(ConfigError):
        return kind_of_config(f'model.tasks.{task}', part) if isinstance(part, Mapping) else None
    return None


def _follow(task: str, part, kind: Kind, count: int, source: str, required: bool = False) -> None:
    key = f'model.tasks.{task}'
    changes = kind.set_num_classes(key, part, count)
    if changes is None and required:
        raise ConfigError(
            f'{source} is {count}, but no part of {key} takes a number of classes '
            f'({", ".join(kind.class_heads)}); leave it out'
        )
    if changes:
        say(f'task {task!r} has {count} classes by {source}: {", ".join(changes)}')


def _count_in_data(cfg: Config, task: str, kind: Kind) -> int | None:
    """The number of classes that a data set knows before it is loaded."""
    for stage in ('train', 'val', 'test'):
        data = first_data(cfg, stage, task)
        if data is None or not isinstance(data.dataset, Mapping):
            continue
        scope, data_set = next(innermost(data.dataset))
        with DefaultScope.overwrite_default_scope('allinone'):
            try:
                built = MMENGINE_DATASETS.build(
                    dict(_scope_=scope) | dict(data_set) | dict(lazy_init=True)
                )
                names = (getattr(built, 'metainfo', None) or {}).get('classes')
                lists = kind.unloaded_class_lists(built)
            except Exception:
                # Its files come later, or an option is wrong, which building it will tell.
                return None
        return len(names or next(iter(lists.values()), ())) or None
    return None
