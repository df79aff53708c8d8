"""Configs of a shared data set: the data sets of its tasks, and the transforms of its pipeline."""

from collections.abc import Mapping, Sequence

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS

from allinone.config.build_errors import accepted_keys, named
from allinone.config.data_sets import map_inner, scoped_dataset
from allinone.data.annotation_errors import explained
from allinone.data.nested_transforms import with_nested
from allinone.errors import ConfigError
from allinone.registry import TRANSFORMS
from allinone.registry.kinds import kind_of_dataset_class
from allinone.registry.scopes import scope_of_type
from allinone.tasks import TaskKind
from allinone.tasks.joined_labels import JoinedBoxes, JoinedMaps
from allinone.tasks.wrapped import wrapped_data_sets

BOXES = 'mmdet'  # Its transforms change boxes, masks and label maps.


def build_part(key: str, cfg: Mapping, test_mode: bool):
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        raise ConfigError(f'{key} is {cfg!r}; give the config of a data set')
    cfg = _unread(key, cfg, test_mode)
    with named(key, cfg), explained(cfg):
        part = MMENGINE_DATASETS.build(scoped_dataset(cfg))
    if not all(hasattr(part, name) for name in ('get_data_info', 'full_init', 'metainfo')):
        raise ConfigError(
            f'{key}.type is {type(part).__name__}, which does not list its images '
            '(get_data_info); give the data set inside it'
        )
    return part


def _unread(key: str, cfg: Mapping, test_mode: bool) -> dict:
    """The config of a data set without a pipeline, and with innermost sets of ``test_mode``."""
    changed = map_inner(cfg, lambda part: _unread(key, part, test_mode))
    for name in ('pipeline', 'pipelines'):
        if cfg.get(name):
            raise ConfigError(
                f'{key}.{name} has {len(cfg[name])} entries, but the tasks of a source share the '
                f'pipeline beside labels; remove {name} here'
            )
    cls = changed['type']
    cls = MMENGINE_DATASETS.get(cls) if isinstance(cls, str) else cls
    known = accepted_keys(cls) if isinstance(cls, type) else set()
    for name, value in dict(test_mode=test_mode, lazy_init=True, pipeline=[]).items():
        if name in known and not changed.get(name):
            changed[name] = value
    return changed


def explain_failure(step, sample: Mapping, error: Exception) -> tuple[str, str]:
    """How a transform of a shared pipeline fails, and the remedy.

    Args:
        step: The transform.
        sample: Its input.
        error: What it raised.
    """
    words = ' '.join(f'{type(error).__name__}: {error}'.split()).removesuffix(':')
    if name := _transform_for_boxes(step, sample):
        return f'fails on boxes ({words})', f'use {name!r}'
    return f'fails ({words})', 'change its options, or leave it out'


def _transform_for_boxes(step, sample: Mapping) -> str | None:
    """mmdet's transform of the same name, if this one is of another library and met boxes."""
    if 'gt_bboxes' not in sample or type(step).__module__.startswith('allinone'):
        return None  # Those of this suite load and pack by transforms of all libraries.
    for part in with_nested(step):
        if type(part).__module__.startswith((BOXES, 'allinone')):
            continue
        name = f'{BOXES}.{type(part).__name__}'
        if MMENGINE_TRANSFORMS.get(name) not in (None, type(part)):
            # RandomResize and its like are of mmcv in all libraries, but not the Resize inside.
            return name if hasattr(step, 'transforms') else f'{BOXES}.{type(step).__name__}'
    return None


def library_of(kinds: Mapping[str, TaskKind]) -> str:
    """The library whose transforms change the labels of all these kinds."""
    for joined in (JoinedBoxes, JoinedMaps, None):
        for kind in kinds.values():
            if kind.joined_labels is joined and kind.library is not None:
                return kind.library
    return 'allinone'


def scoped_steps(pipeline: Sequence, library: str) -> list:
    """Transforms whose inner transforms are those of the same library."""
    steps = []
    for step in pipeline:
        if isinstance(step, Mapping) and 'type' in step and '_scope_' not in step:
            scope = scope_of_type(step['type'])
            ours = isinstance(step['type'], str) and step['type'] in TRANSFORMS.module_dict
            step = dict(step, _scope_=scope or ('allinone' if ours else library))
        steps.append(step)
    return steps


def kind_of_part(key: str, part) -> TaskKind:
    inner = next(wrapped_data_sets(part))
    kind = kind_of_dataset_class(type(inner))
    if kind is None:
        raise ConfigError(
            f'{key}.type is {type(inner).__name__}, a data set of no kind of task; use one of '
            'mmdet, mmseg or mmpretrain, or one that inherits from them'
        )
    return kind
