"""Test-time augmentation of one task: several views of a picture, one merged prediction.

Views come from ``TestTimeAug`` as the last transform of a task's test pipeline; merging is done by
the stock models of the task's library.
"""

from collections.abc import Mapping

from mmengine.config import ConfigDict
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope
from torch import nn

from .samples import library_of

MERGERS = dict(
    mmpretrain=dict(type='AverageClsScoreTTA'),
    mmdet=dict(
        type='DetTTAModel',
        tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.65), max_per_img=100),
    ),
    mmseg=dict(type='SegTTAModel'),
)


def has_views(batch: Mapping) -> bool:
    """Whether a collated batch holds several views of each picture."""
    inputs = batch['inputs']
    return isinstance(inputs, (list, tuple)) and isinstance(inputs[0], (list, tuple))


def build_merger(task: nn.Module, cfg: Mapping | None = None) -> BaseTTAModel:
    """What predicts from several views and merges: a wrapper around ``task``, without a copy.

    Args:
        task: A task's stock model.
        cfg: Config of a test-time augmentation model of its library. Default: averaged scores of
            classification and segmentation; boxes together through non-maximum suppression.
    """
    library = library_of(task)
    with DefaultScope.overwrite_default_scope(library):
        return MMENGINE_MODELS.build(
            ConfigDict(MERGERS[library] if cfg is None else cfg, module=task)
        ).eval()
