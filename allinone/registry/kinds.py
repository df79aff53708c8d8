"""Look-ups of kinds of tasks: by config, by model class, by prediction, by data set."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.registry import MODELS as MMENGINE_MODELS

from allinone.errors import ConfigError, DataError
from allinone.io.text import cut_short

from . import LIBRARIES, TASK_KINDS
from .options import build_part, check_choice

# An ``allinone.tasks.TaskKind``, which is imported at the first look-up
Kind = Any


def derives(cls: type, names: Iterable[str]) -> bool:
    """Whether a class is or inherits from one of these dotted names; imports none of them."""
    return not {f'{base.__module__}.{base.__qualname__}' for base in cls.__mro__}.isdisjoint(names)


def registered_kinds() -> dict[str, type[Kind]]:
    """``{name: class}`` of all registered kinds."""
    TASK_KINDS.import_from_location()
    return dict(TASK_KINDS.module_dict)


def model_class(cfg: Mapping) -> type | None:
    """The class of a model config; None if it is unknown or missing."""
    cls = cfg.get('type')
    return MMENGINE_MODELS.get(cls) if isinstance(cls, str) else cls


def kind_of_config(key: str, cfg: Mapping) -> Kind:
    """The kind of a task: ``cfg['kind']``, or by default the kind of its model class.

    Args:
        key: The config key of the task, such as ``model.tasks.det``.
        cfg: Its config. ``kind`` is a name in ``TASK_KINDS`` or ``dict(type=name, ...)``.

    Raises:
        ConfigError: If the kind or the class is not registered, the kind does not fit the class, or
            no kind is registered for the class.
    """
    cls = model_class(cfg)
    if not inspect.isclass(cls):
        raise ConfigError(
            f'{key}.type is {cfg.get("type")!r}, which is not registered; name the library it is '
            "from, as in 'mmdet.FCOS', 'mmseg.EncoderDecoder' or 'mmpretrain.ImageClassifier'"
        )
    chosen = cfg.get('kind')
    if chosen is None:
        return kind_of_class(f'{key}.type', cls)
    known = registered_kinds()
    if not isinstance(chosen, Mapping):
        check_choice(f'{key}.kind', chosen, sorted(known))
        chosen = dict(type=chosen)
    kind = build_part(chosen, TASK_KINDS, key=f'{key}.kind')
    if not kind.fits(cls):
        fitting = sorted(name for name, other in known.items() if other.fits(cls))
        remedy = f'name one of {fitting}, or leave it out' if fitting else _own_kind(cls)
        raise ConfigError(
            f'{key}.kind is {kind.name!r}, which does not fit {cls.__name__}; {remedy}'
        )
    return kind


def kind_of_class(what: str, cls: type) -> Kind:
    """The kind of a model class; if several match, that of the most derived base.

    Args:
        what: The config key or the words that name the class in a message.
        cls: The model class.

    Raises:
        ConfigError: If no registered kind has such models.
    """
    known = registered_kinds()
    for base in cls.__mro__:
        dotted = f'{base.__module__}.{base.__qualname__}'
        for kind in known.values():
            if dotted in kind.models:
                return kind()
    raise ConfigError(f'{what} is {cls.__name__!r}, of no registered kind; {_own_kind(cls)}')


def _own_kind(cls: type) -> str:
    return (
        f'the kinds are {sorted(registered_kinds())}; register a TaskKind for {cls.__name__} '
        '(docs/add_a_kind.md)'
    )


def kind_of_prediction(sample) -> Kind:
    """The kind of a prediction of unknown task, by its fields.

    Args:
        sample: A data sample with predictions or annotations under their usual names.

    Raises:
        DataError: If no registered kind makes such predictions.
    """
    for kind in registered_kinds().values():
        if kind.predicts(sample):
            return kind()
    raise DataError(
        f'a prediction with the fields {sorted(sample.keys())} is of no kind among '
        f'{sorted(registered_kinds())}; give its kind, or register one (docs/add_a_kind.md)'
    )


def kind_of_record(record) -> Kind:
    """The first kind whose schema fits a written prediction of unknown task.

    Raises:
        DataError: If there is none.
    """
    for kind in registered_kinds().values():
        if kind().misfit(record) is None:
            return kind()
    raise DataError(
        f'the record {cut_short(repr(record))} fits none of the kinds {sorted(registered_kinds())}'
    )


def kind_of_dataset_class(cls: type) -> Kind | None:
    """The kind of a data set class; None if there is none."""
    for kind in registered_kinds().values():
        if derives(cls, kind.datasets):
            return kind()
    return None


def library_of(cls: type) -> str:
    """The scope for the parts of a class: the library that defines it, or ``allinone``."""
    library = cls.__module__.split('.')[0]
    return library if library in LIBRARIES else 'allinone'
