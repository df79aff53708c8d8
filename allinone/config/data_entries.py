"""``data = dict(TASK=ENTRY)``: loaders, evaluators and score of a task's data set in one variable.

An entry is expanded into ``train_dataloader.TASK``, ``val_evaluator.TASK``, ``val_cfg.score`` and
so on when a config is read, so all that follows reads the long form.
"""

import difflib
import os.path as osp
from collections import Counter
from collections.abc import Sequence

from mmengine.config import Config, ConfigDict

from allinone.errors import ConfigError
from allinone.registry.options import check_count

from .merging import merged, separate, with_last
from .notes import say

KEY = 'data'
PARTS = (
    *('train_dataloader', 'val_dataloader', 'val_evaluator'),
    *('test_dataloader', 'test_evaluator'),
)
OPTIONS = ('num_classes', 'classes', 'score')
LIKENESS = 0.85


def has_data(cfg: Config) -> bool:
    """Whether ``data`` has entries. A config may also have a variable of that name."""
    return bool(_entries(cfg._cfg_dict))


def expand_data(cfg: Config) -> dict[str, int | None]:
    """Expand ``data`` in place, and remove it.

    What the config has in the long form is merged over it. A stage without a loop (``val_cfg``)
    gets nothing. ``test_*`` that an entry lacks are its ``val_*``; None leaves them out.

    Args:
        cfg: A config of any style; types may be classes.

    Returns:
        ``{task: number of classes}`` of all entries; None where an entry does not say it.

    Raises:
        ConfigError: If an entry belongs to no task, or cannot be used.
    """
    content = cfg._cfg_dict
    entries = _entries(content)
    model = dict.get(content, 'model')
    model = model if isinstance(model, dict) else {}
    tasks = list(dict.get(model, 'tasks') or ())
    if not entries or _is_a_variable(entries, tasks):
        return {}
    dict.pop(content, KEY)
    for task, entry in entries.items():
        _check_entry(task, entry, tasks)
    entries = {task: _with_classes(entry) for task, entry in entries.items()}
    frozen = dict.get(model, 'frozen') or ()
    idle = set(frozen) if 'backbone' in frozen else set()  # Nothing learns from their images.
    for part in PARTS:
        if not dict.get(content, f'{part.split("_")[0]}_cfg'):
            continue
        found = {
            task: dict.get(entry, part, dict.get(entry, part.replace('test_', 'val_')))
            for task, entry in entries.items()
            if not (part == 'train_dataloader' and task in idle)
            and not (part.startswith('test_') and _is_untested(entry))
        }
        _put(content, part, {task: value for task, value in found.items() if value})
    for stage in ('val', 'test'):
        _expand_score(content, stage, entries)
    return {task: _count(task, entry) for task, entry in entries.items()}


def _entries(content: dict) -> dict[str, dict]:
    data = dict.get(content, KEY)
    if not isinstance(data, dict):
        return {}
    data = dict(dict.items(data))
    parts = [entry for entry in data.values() if isinstance(entry, dict)]
    return data if any(part in entry for entry in parts for part in PARTS) else {}


def _is_a_variable(entries: dict, tasks: Sequence[str]) -> bool:
    """Whether ``data`` is a variable of the user's own, of data sets under other names."""
    if any(name in tasks for name in entries):
        return False
    if any(difflib.get_close_matches(str(name), tasks, 1) for name in entries):
        return False
    say(f'{KEY} has {list(entries)}, and no task is called so, so it is a variable of the config')
    return True


def _is_untested(entry: dict) -> bool:
    """Whether an entry says that the task is not tested."""
    parts = 'test_dataloader', 'test_evaluator'
    return any(part in entry and dict.get(entry, part) is None for part in parts)


def _check_entry(task: str, entry, tasks: Sequence[str]) -> None:
    key = f'{KEY}.{task}'
    if task not in tasks:
        raise ConfigError(
            f'{KEY} has {task!r}, which model.tasks does not have ({list(tasks)}); add the task, '
            f'or leave the data set out, as with {KEY}=dict(_delete_=True, ...)'
        )
    if not isinstance(entry, dict):
        raise ConfigError(
            f'{key} is {entry!r}; give the variable of a data set, which has train_dataloader, '
            'val_dataloader and val_evaluator'
        )
    for name in dict.keys(entry):
        near = difflib.get_close_matches(str(name), [*PARTS, *OPTIONS], 1, LIKENESS)
        if near and near[0] != name:
            raise ConfigError(f'{key} has {name!r}; do you mean {near[0]!r}?')
    if not any(part in entry for part in PARTS):
        raise ConfigError(
            f'{key} has only {sorted(map(str, dict.keys(entry)))}; give the whole variable of the '
            'data set, which has train_dataloader, val_dataloader and val_evaluator'
        )
    _check_classes(f'{key}.classes', dict.get(entry, 'classes'))
    score = dict.get(entry, 'score')
    if score is not None and not isinstance(score, dict):
        raise ConfigError(
            f"{key}.score is {score!r}; give {{metric: factor}}, as in {{'bbox_mAP_50': 100}}"
        )
    for metric in score or ():
        if str(metric).startswith(f'{task}/'):
            raise ConfigError(
                f"{key}.score has {metric!r}; leave out '{task}/', which is added to each of its "
                'metrics'
            )


def _check_classes(key: str, classes) -> None:
    if classes is None or (isinstance(classes, str) and osp.isfile(classes)):
        return  # MMEngine reads the file.
    if not isinstance(classes, (list, tuple)) or not classes:
        raise ConfigError(
            f"{key} is {classes!r}; give the names, as in ('car', 'bus'), or a file with one a line"
        )
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise ConfigError(f'{key} has {twice[0]!r} twice; give each class a name of its own')


def _with_classes(entry: dict) -> dict:
    """The entry with its ``classes`` in each of its data sets that has none."""
    classes = dict.get(entry, 'classes')
    found = separate(entry)
    if classes is None:
        return found
    for part in PARTS:
        loader = dict.get(found, part)
        if part.endswith('_dataloader') and isinstance(loader, dict):
            for data_set in _innermost(dict.get(loader, 'dataset')):
                metainfo = dict(dict.get(data_set, 'metainfo') or {})
                names = classes if isinstance(classes, str) else tuple(classes)
                dict.__setitem__(data_set, 'metainfo', ConfigDict(dict(classes=names) | metainfo))
    return found


def _innermost(cfg) -> list[dict]:
    """The configs of the data sets that a data set wraps or concatenates; else its own."""
    if not isinstance(cfg, dict):
        return []
    parts = [dict.get(cfg, 'dataset'), *(dict.get(cfg, 'datasets') or ())]
    parts = [part for part in parts if isinstance(part, dict)]
    return [data_set for part in parts for data_set in _innermost(part)] if parts else [cfg]


def _put(content: dict, key: str, parts: dict) -> None:
    """Merge what the config has under ``key`` over ``{task: part}``; other tasks come first."""
    written = dict.get(content, key, {})
    if not isinstance(written, dict) or not (parts or written):
        return
    found = merged(written, parts)
    for task, part in parts.items():
        alone = dict.get(written, task)
        if isinstance(alone, dict) and found[task] != part and found[task] == merged(alone, {}):
            say(f'{key}.{task} is written out in the config, so {KEY}.{task} does not change it')
    content[key] = ConfigDict(with_last(found, parts))


def _expand_score(content: dict, stage: str, entries: dict) -> None:
    """Add the metrics of the evaluated tasks of which the config's own score has none."""
    loop = dict.get(content, f'{stage}_cfg')
    evaluated = dict.get(content, f'{stage}_evaluator')
    if not isinstance(loop, dict) or not isinstance(evaluated, dict):
        return
    written = dict.get(loop, 'score', {})
    if not isinstance(written, dict) or ('score' in loop and not written):
        return
    written = merged(written, {})
    members: dict[str, dict] = {}
    for name, factor in written.items():
        members.setdefault(str(name).split('/')[0], {})[name] = factor
    for task, entry in entries.items():
        if task in evaluated and task not in members:
            score = dict.get(entry, 'score') or {}
            members[task] = {f'{task}/{metric}': factor for metric, factor in score.items()}
    # A sum has the order of its members.
    ordered = with_last(members, entries)
    score = {name: factor for part in ordered.values() for name, factor in part.items()}
    if score:
        loop['score'] = ConfigDict(score)


def _count(task: str, entry: dict) -> int | None:
    """The number of classes that an entry says.

    Raises:
        ConfigError: If its ``num_classes`` is not the number of its classes.
    """
    key, where, names = f'{KEY}.{task}', 'classes', dict.get(entry, 'classes')
    if names is None:
        loader = next((part for part in PARTS if isinstance(dict.get(entry, part), dict)), PARTS[0])
        where = f'{loader}.dataset.metainfo.classes'
        data_sets = _innermost(dict.get(dict.get(entry, loader) or {}, 'dataset'))
        names = dict.get(dict.get(data_sets[0], 'metainfo') or {}, 'classes') if data_sets else None
    number = dict.get(entry, 'num_classes')
    if number is not None:
        check_count(f'{key}.num_classes', number, 1)
    if not isinstance(names, (list, tuple)):
        return number
    if number not in (None, len(names)):
        raise ConfigError(
            f'{key}.num_classes is {number}, but {where} has {len(names)} names; leave '
            'num_classes out'
        )
    return len(names)
