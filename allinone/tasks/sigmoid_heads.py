"""Detectors whose negatives come from class scores alone, one sigmoid for each class."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from torch import nn

from allinone.errors import ConfigError

from .annotated_classes import ANNOTATED

if TYPE_CHECKING:
    from mmengine.model import BaseModel

HEADS = 'mmdet.models.dense_heads.'
# Where mmdet's heads compute a loss of class scores ``(N, C)`` that enters nothing else: no
# assignment, no objectness, no weight of another loss. Heads that inherit both methods do the same.
OF_PRIORS = {
    'AnchorHead.loss_by_feat',  # RetinaNet
    'ATSSHead.loss_by_feat',
    'FCOSHead.loss_by_feat',
    'FoveaHead.loss_by_feat',
    'GFLHead.loss_by_feat',
    'RepPointsHead.loss_by_feat',
    'RTMDetHead.loss_by_feat',
    'RTMDetInsHead.loss_by_feat',
    'VFNetHead.loss_by_feat',
}
OF_QUERIES = {
    'DETRHead.loss_by_feat',
    'DeformableDETRHead.loss_by_feat',
    'DINOHead.loss_by_feat',
}
OF_A_LEVEL = {'AnchorHead', 'ATSSHead', 'GFLHead', 'RepPointsHead', 'RTMDetHead', 'DETRHead'}
SIGMOID_LOSSES = {'FocalLoss', 'QualityFocalLoss', 'VarifocalLoss', 'CrossEntropyLoss'}
OBJECTNESS = ('loss_obj', 'multi_level_conv_obj', 'loss_conf')  # YOLOX and others
SUPPORTED = 'GFL, FCOS, RetinaNet, ATSS, RTMDet, VFNet, DINO'


def class_loss_of(key: str, model: 'BaseModel') -> nn.Module:
    """The loss of class scores of a detector, which alone makes negatives of images.

    Args:
        key: Config key of the task, for messages.
        model: A detector.

    Raises:
        ConfigError: If something else makes negatives, too, or a class is a negative of another.
    """
    head = getattr(model, 'bbox_head', None)
    if hasattr(model, 'rpn_head') or hasattr(model, 'roi_head'):
        raise ConfigError(
            f'{key} is a {type(model).__name__}, whose first stage learns any object without a '
            f'label as background, of whatever class; {_remedy()}'
        )
    name, home = type(head).__name__, _home(getattr(type(head), 'loss_by_feat', None))
    # The first stage of Deformable DETR has one score, trained as that of class 0.
    proposals = getattr(head, 'as_two_stage', False) and home == 'DeformableDETRHead.loss_by_feat'
    if proposals or any(hasattr(head, part) for part in OBJECTNESS):
        raise ConfigError(
            f'{key}.bbox_head is a {name}, whose objectness learns any object without a label as '
            f'background, of whatever class; {_remedy()}'
        )
    loss = getattr(head, 'loss_cls', None)
    if isinstance(loss, nn.Module) and not getattr(loss, 'use_sigmoid', True):
        raise ConfigError(
            f'{key}.bbox_head is a {name} without a sigmoid for each class (loss_cls), so all '
            f'classes, and the background, share one loss; {_remedy()}'
        )
    known = home in OF_PRIORS | OF_QUERIES
    level = getattr(type(head), 'loss_by_feat_single', None)
    known &= level is None or _home(level).partition('.')[0] in OF_A_LEVEL
    known &= type(loss).__name__ in SIGMOID_LOSSES and not getattr(loss, 'activated', False)
    if not known or not isinstance(loss, nn.Module):
        what = (
            f'{key} is a {type(model).__name__}' if head is None else f'{key}.bbox_head is a {name}'
        )
        what += f' with {type(loss).__name__}' if isinstance(loss, nn.Module) else ''
        raise ConfigError(
            f'{what}, of which it is not known whether an object without a label is background '
            f'for anything but the score of its class; {_remedy()}'
        )
    return loss


def is_dense(model: 'BaseModel') -> bool:
    """Whether all class scores of a detector, one sigmoid each, are of places of the image."""
    with suppress(ConfigError):
        class_loss_of('', model)
        return _home(type(model.bbox_head).loss_by_feat) in OF_PRIORS
    return False


def _home(method: Callable | None) -> str:
    """The class and name of a method of mmdet's dense heads; empty if it is from elsewhere."""
    module, name = (getattr(method, part, '') for part in ('__module__', '__qualname__'))
    return name if module.startswith(HEADS) else ''


def _remedy() -> str:
    return (
        f'its data must annotate all classes: complete the labels (tools/pseudo_label.py) and '
        f'leave metainfo.{ANNOTATED} out, or use a head with a sigmoid for each class ({SUPPORTED})'
    )
