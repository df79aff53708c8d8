"""Build a task's model from its config around the shared backbone."""

from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import nn

from allinone.config.build_errors import accepted_keys, fault
from allinone.errors import AllInOneError, ConfigError
from allinone.io.renames import note
from allinone.registry import LIBRARIES
from allinone.registry.kinds import kind_of_config, library_of, model_class
from allinone.registry.scopes import scope_of_type
from allinone.tasks import TaskKind

from .shared_backbone import SharedBackbone

# ImportError and OSError: of packages and files that a model wants
PART_ERRORS = (TypeError, KeyError, ValueError, AssertionError, RuntimeError)
BUILD_ERRORS = (*PART_ERRORS, AttributeError, ImportError, OSError)


def build_model(key: str, cfg: ConfigDict, scope: str | None = None) -> nn.Module:
    """Build under the library's scope, so that nested types need no prefix.

    Raises:
        ConfigError: Naming the key, if the model cannot be built.
    """
    scope = scope or scope_of_type(cfg.get('type')) or 'allinone'
    try:
        return MMENGINE_MODELS.build(ConfigDict(cfg, _scope_=scope))
    except AllInOneError as error:
        raise ConfigError(f'{key}: {error}') from error
    except BUILD_ERRORS as error:
        raise ConfigError(fault(key, ConfigDict(cfg, _scope_=scope), error)) from error


def build_task(key: str, cfg: ConfigDict, normalisation: dict) -> tuple[nn.Module, TaskKind]:
    """Build the model of a task with a :class:`SharedBackbone`; returns the model and its kind.

    Args:
        key: The config key of the task.
        cfg: Its config, without ``adapter`` and ``tta``; modified in place.
        normalisation: The joint model's ``data_preprocessor``; if empty, the task's own applies.

    Raises:
        ConfigError: If the class or its kind is not registered, or the model takes no backbone,
            holds a copy of it or cannot be built.
    """
    scope = task_scope(key, cfg)
    indices = cfg.pop('feature_indices', None)
    if 'features' in cfg:
        note(f'{key}.features', 'feature_indices')
        indices = cfg.pop('features')
    if model_class(cfg) is None:
        return build_model(key, cfg, scope), TaskKind()  # Raises if the type is wrong
    view = dict(type='allinone.SharedBackbone', feature_indices=indices)
    try:
        kind = kind_of_config(key, cfg)
    except ConfigError:
        if 'kind' not in cfg:
            _refuse_copies(key, _tried(key, ConfigDict(cfg, backbone=view), scope))
        raise
    cfg.pop('kind', None)
    if kind.entry in cfg:
        raise ConfigError(
            f'{key}.{kind.entry} is set, but the backbone is shared; move it to model.backbone'
        )
    if kind.entry not in accepted_keys(model_class(cfg)):
        raise ConfigError(
            f'{key}.type is {cfg.type!r}, which has no argument {kind.entry!r} for the shared '
            f'backbone, where models of the kind {kind.name!r} take it; choose another model, or '
            'register a kind with another entry (docs/add_a_kind.md)'
        )
    cfg = kind.model_defaults(cfg)
    cfg[kind.entry] = view
    if normalisation:
        own = cfg.get('data_preprocessor')
        cfg.data_preprocessor = kind.preprocessor_config(scope, own, normalisation)
    model = build_model(key, cfg, scope)
    _refuse_copies(key, model)
    return model, kind.of_model(model)


def task_scope(key: str, cfg: ConfigDict) -> str:
    """Registry scope of a task's model: that of its type, or of its class's library.

    Raises:
        ConfigError: If the type is not in any library.
    """
    kind = cfg.get('type')
    scope, cls = scope_of_type(kind), model_class(cfg)
    if scope in (*LIBRARIES, 'allinone') or (scope and cls is not None):
        return scope
    if cls is not None:
        return library_of(cls)
    raise ConfigError(
        f'{key}.type is {kind!r}; name the library it is from, '
        "as in 'mmdet.FCOS', 'mmseg.EncoderDecoder' or 'mmpretrain.ImageClassifier'"
    )


def _tried(key: str, cfg: ConfigDict, scope: str) -> nn.Module | None:
    """Build a model without a kind, to find out if a custom kind would help; None if it fails."""
    try:
        return build_model(key, cfg, scope)
    except ConfigError:
        return None


def _refuse_copies(key: str, model: nn.Module | None) -> None:
    """Reject copies (such as an averaged encoder): only one view is bound to the backbone later."""
    modules = () if model is None else model.named_modules()
    # ``named_modules`` yields a module that is registered twice only once.
    views = [name for name, part in modules if isinstance(part, SharedBackbone)]
    if len(views) > 1:
        raise ConfigError(
            f'{key}: {type(model).__name__} keeps a copy of its backbone in {views[1]!r}, which '
            'would not follow the shared backbone; train it alone, or choose a model without one'
        )
