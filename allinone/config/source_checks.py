"""Checks of the sources of a stage: what each serves, and that its data set can."""

import difflib
import inspect
from collections import Counter
from collections.abc import Mapping, Sequence

from mmengine.registry import DefaultScope

from allinone.errors import ConfigError
from allinone.registry import DATASETS
from allinone.registry.options import check_count, check_number

from .sources import LABEL_WEIGHTS, LABELS, MIN_LABELLED, TASKS, labels_of, sources_of

SHARED = 'SharedDataset'


def check_sources(stage: str, loaders: Mapping, tasks: Sequence[str], scope: str) -> None:
    """Refuse sources that serve no task of the model, or whose data set lacks labels of one.

    Args:
        stage: ``'train'``, ``'val'`` or ``'test'``.
        loaders: ``{source: config of its dataloader}``.
        tasks: Those of the model.
        scope: ``default_scope`` of the config.

    Raises:
        ConfigError: Naming the key and what to write.
    """
    key = f'{stage}_dataloader'
    for source, loader in loaders.items():
        if not isinstance(loader, Mapping):
            raise ConfigError(f'{key}.{source} is {loader!r}; give the config of a dataloader')
        _check_name(source)
    _check_tasks(key, loaders, tasks)
    for source, loader in loaders.items():
        served = sources_of(loaders)[source]
        with DefaultScope.overwrite_default_scope(scope):
            _check_data_set(f'{key}.{source}', loader, served)
        _check_min_labelled(f'{key}.{source}', loader, served, stage)
        if loader.get(LABEL_WEIGHTS) is not None:
            _check_label_weights(f'{key}.{source}', loader[LABEL_WEIGHTS], served, stage)
    if stage != 'train':
        _check_once(key, loaders)


def _check_name(source) -> None:
    if not isinstance(source, str) or not source or set(source) & {'/', '.'}:
        raise ConfigError(
            f"a dataloader has the name {source!r}; leave '/' and '.' out, which the log and the "
            'keys of a config are written with'
        )


def _check_tasks(key: str, loaders: Mapping, tasks: Sequence[str]) -> None:
    unserved = [source for source, loader in loaders.items() if loader.get(TASKS) is None]
    extra = [source for source in unserved if source not in tasks]
    if extra:
        raise ConfigError(
            f'{key} has {extra}, which model.tasks does not have ({list(tasks)}); '
            "add the task, or remove the key, or say which tasks it serves with tasks=('TASK', ...)"
        )
    for source, loader in loaders.items():
        served, place = loader.get(TASKS), f'{key}.{source}.{TASKS}'
        if served is None:
            continue
        if not isinstance(served, (list, tuple)) or not served:
            raise ConfigError(
                f'{place} is {served!r}; give names of tasks, as in ({tasks[0]!r},), or leave it '
                'out of a source that is named like its task'
            )
        for task in served:
            if task not in tasks:
                near = difflib.get_close_matches(str(task), tasks, 1)
                raise ConfigError(
                    f'{place} has {task!r}, which model.tasks does not have; '
                    + (f'do you mean {near[0]!r}?' if near else f'name some of {list(tasks)}')
                )
        twice = [task for task, count in Counter(served).items() if count > 1]
        if twice:
            raise ConfigError(f'{place} has {twice[0]!r} twice; name each task once')
        if source in tasks and source not in served:
            raise ConfigError(
                f'{key}.{source} is named like the task {source!r}, but its tasks are '
                f'{list(served)}; give it another name, or add {source!r} to its tasks'
            )


def _check_data_set(key: str, loader: Mapping, served: Sequence[str]) -> None:
    dataset, labels = loader.get('dataset'), labels_of(loader.get('dataset'))
    if not isinstance(dataset, Mapping):
        return  # Building the loader refuses it.
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    shared = _is_shared(kind)
    name = getattr(kind, '__name__', dataset.get('type'))
    if not shared and len(served) > 1:
        raise ConfigError(
            f'{key}.{TASKS} is {list(served)}, but {key}.dataset.type is {name!r}, which has '
            f'labels of one task; use type={SHARED!r} with {LABELS}=dict({served[0]}=..., '
            f'{served[1]}=...)'
        )
    if not shared:
        return
    if labels is None:
        raise ConfigError(
            f'{key}.dataset.{LABELS} is {dataset.get(LABELS)!r}; give the config of the data set '
            f"of each task's labels, as in {LABELS}=dict({served[0]}=dict(type=...))"
        )
    lacking = [task for task in served if task not in labels]
    if lacking:
        raise ConfigError(
            f'{key}.{TASKS} has {lacking}, but {key}.dataset.{LABELS} has only {list(labels)}; add '
            f'the labels of {lacking}, or take it off {TASKS}'
        )
    more = [task for task in labels if task not in served]
    if more:
        raise ConfigError(
            f'{key}.dataset.{LABELS} has {more}, but {key} serves only {list(served)}; set '
            f'{key}.{TASKS} to {tuple(labels)}, or remove these labels'
        )


def _is_shared(kind) -> bool:
    return inspect.isclass(kind) and any(part.__name__ == SHARED for part in kind.__mro__)


def _check_min_labelled(key: str, loader: Mapping, served: Sequence[str], stage: str) -> None:
    counts = loader.get(MIN_LABELLED)
    if counts is None:
        return
    key = f'{key}.{MIN_LABELLED}'
    if stage != 'train':
        raise ConfigError(
            f'{key} is {counts!r}, but evaluation reads each image once, in order; it is for '
            'train_dataloader alone, so remove it here'
        )
    if labels_of(loader.get('dataset')) is None:
        raise ConfigError(
            f"{key} is {counts!r}, but each image of this data set has its task's labels; remove it"
        )
    if not isinstance(counts, Mapping):
        raise ConfigError(f'{key} is {counts!r}; give dict({served[0]}=1)')
    for task, count in counts.items():
        _check_served(key, task, served)
        check_count(f'{key}.{task}', count, 0)


def _check_served(key: str, task, served: Sequence[str]) -> None:
    if task not in served:
        near = difflib.get_close_matches(str(task), served, 1)
        raise ConfigError(
            f'{key} has {task!r}, which this source does not serve; '
            + (f'do you mean {near[0]!r}?' if near else f'name some of {list(served)}')
        )


def _check_label_weights(source_key: str, weights, served: Sequence[str], stage: str) -> None:
    key = f'{source_key}.{LABEL_WEIGHTS}'
    if stage != 'train':
        raise ConfigError(
            f'{key} is {weights!r}, but metrics count all images alike; it is for '
            'train_dataloader alone, so remove it here'
        )
    check_label_weights(source_key, weights, served)


def check_label_weights(source_key: str, weights, served: Sequence[str]) -> None:
    """Check the factors of the losses of a source's tasks.

    Args:
        source_key: Config key of the source's dataloader.
        weights: ``{task: factor}``.
        served: The tasks of the source.

    Raises:
        ConfigError: If a factor is of no task of the source, or no positive number.
    """
    key = f'{source_key}.{LABEL_WEIGHTS}'
    if not isinstance(weights, Mapping):
        raise ConfigError(f'{key} is {weights!r}; give dict({served[0]}=0.5)')
    for task, weight in weights.items():
        _check_served(key, task, served)
        # Labels that count nothing would still take images, time and batch norm's statistics.
        if weight == 0 and not isinstance(weight, bool):
            several = len(served) > 1
            remedy = f'leave {task!r} off {source_key}.{TASKS}' if several else 'leave it out'
            raise ConfigError(
                f'{key}.{task} is {weight!r}; give a number above 0, or, if {task!r} is not to '
                f'train on this source, {remedy}'
            )
        check_number(f'{key}.{task}', weight, 0, open_low=True)


def _check_once(key: str, loaders: Mapping) -> None:
    found: dict[str, str] = {}
    for source, served in sources_of(loaders).items():
        for task in served:
            if task in found:
                raise ConfigError(
                    f'{key}.{found[task]} and {key}.{source} both serve {task!r}, but a task is '
                    'evaluated on one of them; take it off one'
                )
            found[task] = source
