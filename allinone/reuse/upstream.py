"""Conversion of one task of a joint model to an upstream model."""

import copy
import inspect

from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS

from allinone.errors import ConfigError
from allinone.registry.kinds import kind_of_config


def upstream_model_config(model: ConfigDict, task: str) -> ConfigDict:
    """Config with which the task's library builds the task with a separate backbone.

    The model's state dict has the keys ``backbone.*`` of the joint model, and those of the task
    without the prefix ``tasks.TASK.``.

    Args:
        model: The key ``model`` of a joint config.
        task: A key of ``model.tasks``.

    Raises:
        ConfigError: If the library's backbone cannot return the feature maps that the task selects.
            It can return a subset of the maps, in the backbone's order, if it has ``out_indices``.
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
    if features is not None:
        backbone.out_indices = _out_indices(backbone, tuple(features), task)
    upstream[kind.entry] = backbone
    normalisation = dict(model.get('data_preprocessor') or {})
    if normalisation:
        upstream.data_preprocessor = kind.preprocessor_config(
            scope, upstream.get('data_preprocessor'), normalisation
        )
    return upstream


def _out_indices(backbone: ConfigDict, features: tuple[int, ...], task: str) -> tuple[int, ...]:
    kind = MMENGINE_MODELS.get(backbone.type)
    parameter = inspect.signature(kind).parameters.get('out_indices')
    given = backbone.get('out_indices', getattr(parameter, 'default', None))
    if isinstance(given, int):
        given = (given,)
    if parameter is None or list(features) != sorted(set(features)):
        raise ConfigError(
            f'model.tasks.{task}.feature_indices is {features}: an upstream {backbone.type} cannot '
            'give these maps; extract without the upstream form, or name them in ascending order'
        )
    return tuple(given[index] for index in features)
