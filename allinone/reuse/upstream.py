"""Conversion of one task of a joint model to an upstream model."""

import copy
import inspect
from collections.abc import Sequence

from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS

from allinone.checkpoint.upstream_neck import skipped_levels
from allinone.config.build_errors import accepted_keys
from allinone.config.parts import SHARED_NECK
from allinone.errors import ConfigError
from allinone.registry.kinds import kind_of_config, model_class


class NoUpstreamForm(ConfigError):
    """The task's library has no model that gets the same feature maps."""


def upstream_model_config(model: ConfigDict, task: str) -> ConfigDict:
    """Config with which the task's library builds the task with a separate backbone.

    The model's state dict has the keys ``backbone.*`` of the joint model, and those of the task
    without the prefix ``tasks.TASK.``. A shared neck is the model's neck, or the first of its
    necks (:class:`~allinone.checkpoint.upstream_neck.UpstreamNeck`).

    Args:
        model: The key ``model`` of a joint config.
        task: A key of ``model.tasks``.

    Raises:
        NoUpstreamForm: If the library's backbone cannot return the feature maps that the task
            selects; it can return a subset of the maps, in the backbone's order, if it has
            ``out_indices``. If the task selects feature maps of the shared neck, or its model takes
            no neck.
    """
    upstream = copy.deepcopy(model.tasks[task])
    scope = upstream.type.split('.')[0]
    kind = kind_of_config(f'model.tasks.{task}', upstream)
    upstream.pop('kind', None)
    features = upstream.pop('feature_indices', None)
    upstream.pop('adapter', None)  # The adapter is merged into the backbone's weights.
    upstream.pop('tta', None)
    backbone = copy.deepcopy(model.backbone)
    if (backbone.get('init_cfg') or {}).get('type') == 'Pretrained':
        # Weights come from the joint checkpoint.
        backbone.pop('init_cfg')
    key = f'model.tasks.{task}.feature_indices'
    neck = copy.deepcopy(model.get(SHARED_NECK))
    if neck is not None and task in neck.pop('tasks'):
        _leave_out_levels(key, neck, features)
        key, features = f'model.{SHARED_NECK}.feature_indices', neck.pop('feature_indices', None)
        upstream.neck = _necks(task, neck, upstream)
    if features is not None:
        backbone.out_indices = _out_indices(backbone, tuple(features), key)
    upstream[kind.entry] = backbone
    normalisation = dict(model.get('data_preprocessor') or {})
    if normalisation:
        upstream.data_preprocessor = kind.preprocessor_config(
            scope, upstream.get('data_preprocessor'), normalisation
        )
    return upstream


def _leave_out_levels(key: str, neck: ConfigDict, features: Sequence[int] | None) -> None:
    """Let a neck give only the feature maps that the task selects, in place.

    Raises:
        NoUpstreamForm: If it cannot.
    """
    count, name = neck.get('num_outs', 0), str(neck.type).rpartition('.')[2]
    channels = neck.get('in_channels')
    inputs = len(channels) if isinstance(channels, (list, tuple)) else 1
    skipped = skipped_levels(name, neck.get('start_level') or 0, inputs, count, features)
    if skipped is None:
        raise NoUpstreamForm(
            f'{key} is {tuple(features or ())}, but an upstream {neck.type} gives all its feature '
            'maps; let the task use all maps of model.shared_neck'
        )
    if skipped:
        neck.update(start_level=skipped, num_outs=count - skipped)


def _necks(task: str, neck: ConfigDict, upstream: ConfigDict):
    """The neck of an upstream model: the shared one, then those of the task.

    Raises:
        NoUpstreamForm: If the model takes no neck.
    """
    cls = model_class(upstream)
    if cls is None or 'neck' not in accepted_keys(cls):
        raise NoUpstreamForm(
            f'model.{SHARED_NECK}.tasks has {task!r}, whose {upstream.type} takes no neck'
        )
    init_cfg = neck.get('init_cfg') or {}
    if isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained':
        neck.pop('init_cfg')  # Weights come from the joint checkpoint.
    own = upstream.get('neck')
    if own is None:
        return neck
    return [neck, *(own if isinstance(own, (list, tuple)) else [own])]


def _out_indices(backbone: ConfigDict, features: tuple[int, ...], key: str) -> tuple[int, ...]:
    kind = MMENGINE_MODELS.get(backbone.type)
    parameter = inspect.signature(kind).parameters.get('out_indices')
    given = backbone.get('out_indices', getattr(parameter, 'default', None))
    if isinstance(given, int):
        given = (given,)
    if parameter is None or list(features) != sorted(set(features)):
        raise NoUpstreamForm(
            f'{key} is {features}: an upstream {backbone.type} cannot '
            'give these maps; name them in ascending order'
        )
    return tuple(given[index] for index in features)
