"""The pipeline of a shared source for one of its tasks alone."""

from collections.abc import Mapping
from inspect import isclass
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS

from allinone.config.data_sets import innermost
from allinone.errors import ConfigError
from allinone.registry.kinds import kind_of_dataset_class
from allinone.tasks import TaskKind

from .datasets.shared_parts import library_of, scoped_steps

LOADS, PACKS = 'LoadSharedAnnotations', 'PackSharedInputs'


def pipeline_of_task(dataset: Mapping, task: str, kind: TaskKind) -> list:
    """Configs of the transforms of a shared pipeline for images of one task.

    Args:
        dataset: Config of the data set of the shared source.
        task: Name of the task.
        kind: Of the task, whose transforms load and pack in place of those for several tasks.

    Raises:
        ConfigError: If the kind has no transform that packs.
    """
    found = []
    library = library_of_labels(dataset.get('labels') or {})
    for step in scoped_steps(dataset.get('pipeline') or (), library):
        name = transform_name(step)
        if name == LOADS:
            if kind.annotation_loader is not None:
                found.append(_loader(dict(step), task, kind.annotation_loader))
        elif name == PACKS:
            found.append(_packer(dict(step), task, kind))
        else:
            found.append(step)
    return found


def library_of_labels(labels: Mapping[str, Any]) -> str:
    """The library in which transforms of a shared pipeline are looked up, by its labels."""
    kinds = {}
    for task, part in labels.items():
        scope, inner = next(innermost(part))
        cls = inner.get('type')
        if isinstance(cls, str):
            cls = MMENGINE_DATASETS.get(cls if '.' in cls or not scope else f'{scope}.{cls}')
        kind = kind_of_dataset_class(cls) if isclass(cls) else None
        if kind is not None:
            kinds[task] = kind
    return library_of(kinds)


def transform_name(step: Any) -> str:
    """Name of a transform's class, without its library."""
    kind = step.get('type') if isinstance(step, Mapping) else type(step)
    return kind.__name__ if isclass(kind) else str(kind).rpartition('.')[2]


def _loader(step: dict, task: str, cfg: Mapping) -> dict:
    masks = dict(with_mask=True) if step.get('with_mask') and 'with_bbox' in cfg else {}
    return dict(cfg) | masks | dict((step.get('options') or {}).get(task) or {})


def _packer(step: dict, task: str, kind: TaskKind) -> dict:
    if kind.packer is None:
        raise ConfigError(
            f'task {task!r}: its kind {kind.name!r} has no packer, by which an image of the task '
            'alone is packed; set the attribute packer of its TaskKind (docs/add_a_kind.md)'
        )
    name = f'{kind.library}.{kind.packer}' if kind.library else kind.packer
    packer: dict[str, Any] = dict(type=name)
    if step.get('meta_keys') is not None:
        packer['meta_keys'] = tuple(step['meta_keys'])
    return packer
