"""Test-time augmentation of one task: several views of an image, one merged prediction.

``TestTimeAug``, the last transform of a task's test pipeline, makes the views; an upstream model of
the task's library merges them.
"""

from collections.abc import Mapping

from mmengine.config import ConfigDict
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope
from torch import nn

from allinone.errors import ConfigError
from allinone.tasks import TaskKind


def has_views(batch: Mapping) -> bool:
    """Whether a collated batch contains several views of each image."""
    inputs = batch['inputs']
    return isinstance(inputs, (list, tuple)) and isinstance(inputs[0], (list, tuple))


def build_merger(task: nn.Module, kind: TaskKind, cfg: Mapping | None = None) -> BaseTTAModel:
    """Build a wrapper around ``task`` (not a copy) that predicts on several views and merges.

    Args:
        task: A task's model.
        kind: Its kind.
        cfg: Config of a test-time augmentation model of its library. Default: the kind's.

    Raises:
        ConfigError: If there is neither.
    """
    cfg = kind.merger if cfg is None else cfg
    if cfg is None:
        raise ConfigError(
            f'test pipelines of tasks of the kind {kind.name!r} cannot have TestTimeAug, since '
            "nothing merges their views; set the task's key tta"
        )
    with DefaultScope.overwrite_default_scope(kind.library or 'allinone'):
        return MMENGINE_MODELS.build(ConfigDict(cfg, module=task)).eval()
