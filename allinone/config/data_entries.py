"""``data = dict(TASK=ENTRY)``: loaders, evaluators and score of a task's data set in one variable.

An entry is expanded into ``train_dataloader.TASK``, ``val_evaluator.TASK``, ``val_cfg.score``,
``val_cfg.references.TASK`` (its ``val_references``) and so on when a config is read, so all that
follows reads the long form.

The entry of a source that serves several tasks (``data = dict(SOURCE=ENTRY)``, with ``tasks`` in
its loaders) has evaluators, numbers of classes and classes keyed by task, and a score of
``'TASK/metric'``.
"""

import difflib
from collections.abc import Sequence

from mmengine.config import Config, ConfigDict

from allinone.errors import ConfigError
from allinone.registry.options import check_count

from .entry_tasks import (
    PARTS,
    check_by_task,
    check_classes,
    data_set_of,
    is_by_task,
    tasks_in,
    tasks_served_by,
)
from .merging import merged, separate, with_last
from .notes import say

KEY = 'data'
OPTIONS = ('num_classes', 'classes', 'score')
LIKENESS = 0.85
REFERENCES = 'references'  # Of an entry for its loops, as in val_cfg.references


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
    for source, entry in entries.items():
        _check_entry(source, entry, tasks)
    entries = {source: _with_classes(entry) for source, entry in entries.items()}
    frozen = dict.get(model, 'frozen') or ()
    idle = set(frozen) if 'backbone' in frozen else set()  # Nothing learns from their images.
    for part in PARTS:
        if not dict.get(content, f'{part.split("_")[0]}_cfg'):
            continue
        found: dict = {}
        places: dict = {}
        for source, entry in entries.items():
            value = dict.get(entry, part, dict.get(entry, part.replace('test_', 'val_')))
            if part == 'train_dataloader' and idle >= set(tasks_served_by(source, entry)):
                continue
            if part.startswith('test_') and _is_untested(entry):
                continue
            parts = (value or {}) if is_by_task(part, entry) else {source: value}
            found |= parts
            places |= dict.fromkeys(parts, f'{KEY}.{source}')
        stage, _, key = part.partition('_')
        into = dict.get(content, f'{stage}_cfg') if key == REFERENCES else content
        if isinstance(into, dict):
            key = key if key == REFERENCES else part
            _put(into, key, {name: value for name, value in found.items() if value}, places)
    for stage in ('val', 'test'):
        _expand_score(content, stage, entries)
    return {
        task: _count(source, entry, task)
        for source, entry in entries.items()
        for task in tasks_served_by(source, entry)
    }


def _entries(content: dict) -> dict[str, dict]:
    data = dict.get(content, KEY)
    if not isinstance(data, dict):
        return {}
    data = dict(dict.items(data))
    parts = [entry for entry in data.values() if isinstance(entry, dict)]
    return data if any(part in entry for entry in parts for part in PARTS) else {}


def _is_a_variable(entries: dict, tasks: Sequence[str]) -> bool:
    """Whether ``data`` is a variable of the user's own, of data sets under other names."""
    if any(isinstance(entry, dict) and tasks_in(entry) for entry in entries.values()):
        return False
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


def _check_entry(source: str, entry, tasks: Sequence[str]) -> None:
    key = f'{KEY}.{source}'
    served = tasks_in(entry) if isinstance(entry, dict) else None
    if source not in tasks and served is None:
        raise ConfigError(
            f'{KEY} has {source!r}, which model.tasks does not have ({list(tasks)}); add the task, '
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
    if served is not None:
        check_by_task(key, entry, served)
        return
    check_classes(f'{key}.classes', dict.get(entry, 'classes'))
    score = dict.get(entry, 'score')
    if score is not None and not isinstance(score, dict):
        raise ConfigError(
            f"{key}.score is {score!r}; give {{metric: factor}}, as in {{'bbox_mAP_50': 100}}"
        )
    for metric in score or ():
        if str(metric).startswith(f'{source}/'):
            raise ConfigError(
                f"{key}.score has {metric!r}; leave out '{source}/', which is added to each of its "
                'metrics'
            )


def _with_classes(entry: dict) -> dict:
    """The entry with its ``classes`` in each of its data sets that has none."""
    classes = dict.get(entry, 'classes')
    found = separate(entry)
    if classes is None:
        return found
    by_task = classes if tasks_in(entry) else {None: classes}
    for part in PARTS:
        loader = dict.get(found, part)
        if not part.endswith('_dataloader') or not isinstance(loader, dict):
            continue
        for task, given in by_task.items():
            for data_set in _innermost(data_set_of(loader, task)):
                metainfo = dict(dict.get(data_set, 'metainfo') or {})
                names = given if isinstance(given, str) else tuple(given)
                dict.__setitem__(data_set, 'metainfo', ConfigDict(dict(classes=names) | metainfo))
    return found


def _innermost(cfg) -> list[dict]:
    """The configs of the data sets that a data set wraps or concatenates; else its own."""
    if not isinstance(cfg, dict):
        return []
    parts = [dict.get(cfg, 'dataset'), *(dict.get(cfg, 'datasets') or ())]
    parts = [part for part in parts if isinstance(part, dict)]
    return [data_set for part in parts for data_set in _innermost(part)] if parts else [cfg]


def _put(content: dict, key: str, parts: dict, places: dict[str, str]) -> None:
    """Merge what the config has under ``key`` over ``{name: part}``; other names come first.

    Args:
        content: The config, changed in place.
        key: ``val_dataloader`` and the like.
        parts: ``{task or source: part}``.
        places: ``{task or source: key of the entry}``, for messages.
    """
    written = dict.get(content, key, {})
    if not isinstance(written, dict) or not (parts or written):
        return
    found = merged(written, parts)
    for name, part in parts.items():
        alone = dict.get(written, name)
        if isinstance(alone, dict) and found[name] != part and found[name] == merged(alone, {}):
            say(f'{key}.{name} is written out in the config, so {places[name]} does not change it')
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
    tasks: list[str] = []
    for source, entry in entries.items():
        score = dict.get(entry, 'score') or {}
        if not tasks_in(entry):
            score = {f'{source}/{metric}': factor for metric, factor in score.items()}
        for task in tasks_served_by(source, entry):
            tasks.append(task)
            if task in evaluated and task not in members:
                members[task] = {
                    name: factor for name, factor in score.items() if name.split('/')[0] == task
                }
    # A sum has the order of its members.
    ordered = with_last(members, dict.fromkeys(tasks))
    score = {name: factor for part in ordered.values() for name, factor in part.items()}
    if score:
        loop['score'] = ConfigDict(score)


def _count(source: str, entry: dict, task: str) -> int | None:
    """The number of classes of a task that an entry says.

    Raises:
        ConfigError: If its ``num_classes`` is not the number of its classes.
    """
    key, where = f'{KEY}.{source}', 'classes'
    names, number = dict.get(entry, 'classes'), dict.get(entry, 'num_classes')
    inner, suffix = 'dataset', ''
    if tasks_in(entry):
        names, number = dict.get(names or {}, task), dict.get(number or {}, task)
        inner, suffix = f'dataset.labels.{task}', f'.{task}'
        where += suffix
    if names is None:
        loader = next((part for part in PARTS if isinstance(dict.get(entry, part), dict)), PARTS[0])
        where = f'{loader}.{inner}.metainfo.classes'
        data_sets = _innermost(data_set_of(dict.get(entry, loader) or {}, task))
        names = dict.get(dict.get(data_sets[0], 'metainfo') or {}, 'classes') if data_sets else None
    if number is not None:
        check_count(f'{key}.num_classes{suffix}', number, 1)
    if not isinstance(names, (list, tuple)):
        return number
    if number not in (None, len(names)):
        raise ConfigError(
            f'{key}.num_classes{suffix} is {number}, but {where} has {len(names)} names; leave '
            f'num_classes{suffix} out'
        )
    return len(names)
