"""Losses of identities as classes, by softmax with and without margins."""

from math import degrees

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from allinone.registry import MODELS
from allinone.registry.options import check_number

from .base import EmbeddingLoss, metric_learning

INSIDE = 1 - 1e-6  # The slope of the arc cosine is finite up to here, in float32.


class IdentityLoss(EmbeddingLoss):
    """Of a classifier of identities, which the loss has.

    Args:
        num_classes: Number of identities; the head gives it.
        channels: Length D of embeddings; the head gives it.
        weight: Factor of the loss.
    """

    behind_norm = True

    def __init__(self, num_classes: int, channels: int, weight: float = 1.0):
        super().__init__(weight)
        self.num_classes, self.channels = num_classes, channels


@MODELS.register_module()
class SoftmaxLoss(IdentityLoss):
    """Cross entropy of a linear classifier without bias.

    Args:
        num_classes: As in :class:`IdentityLoss`.
        channels: As in :class:`IdentityLoss`.
        weight: As in :class:`IdentityLoss`.
        smoothing: Of labels, from 0 to 1.
    """

    def __init__(
        self, num_classes: int, channels: int, weight: float = 1.0, smoothing: float = 0.0
    ):
        super().__init__(num_classes, channels, weight)
        self.smoothing = check_number(self.key('smoothing'), smoothing, 0, 1)
        self.classifier = nn.Linear(channels, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        logits = self.classifier(features)
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)


@MODELS.register_module()
class ArcFaceLoss(IdentityLoss):
    """Softmax of cosines, with an angle added to that of the right identity (`1801.07698
    <https://arxiv.org/abs/1801.07698>`_, equation 3), by pytorch-metric-learning.

    Args:
        num_classes: As in :class:`IdentityLoss`.
        channels: As in :class:`IdentityLoss`.
        weight: As in :class:`IdentityLoss`.
        margin: The angle in radians.
        scale: Factor of the cosines.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        weight: float = 1.0,
        margin: float = 0.5,
        scale: float = 64.0,
    ):
        super().__init__(num_classes, channels, weight)
        self.loss = metric_learning('losses', self).ArcFaceLoss(
            num_classes,
            channels,
            margin=degrees(check_number(self.key('margin'), margin, 0)),
            scale=check_number(self.key('scale'), scale, 0, open_low=True),
        )
        self.loss.get_angles = _angles

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return self.loss(features, labels)


def _angles(cosines: Tensor) -> Tensor:
    """Of cosines, with finite gradients; pytorch-metric-learning's are not where a cosine is 1."""
    return torch.acos(cosines.clamp(-INSIDE, INSIDE))


@MODELS.register_module()
class CosFaceLoss(IdentityLoss):
    """Softmax of cosines, less a margin from that of the right identity (`1801.09414
    <https://arxiv.org/abs/1801.09414>`_, equation 4), by pytorch-metric-learning.

    Args:
        num_classes: As in :class:`IdentityLoss`.
        channels: As in :class:`IdentityLoss`.
        weight: As in :class:`IdentityLoss`.
        margin: Taken from the cosine.
        scale: Factor of the cosines.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        weight: float = 1.0,
        margin: float = 0.35,
        scale: float = 64.0,
    ):
        super().__init__(num_classes, channels, weight)
        self.loss = metric_learning('losses', self).CosFaceLoss(
            num_classes,
            channels,
            margin=check_number(self.key('margin'), margin, 0),
            scale=check_number(self.key('scale'), scale, 0, open_low=True),
        )

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return self.loss(features, labels)


@MODELS.register_module()
class CircleLoss(IdentityLoss):
    """Softmax of cosines, each weighed by its distance from the optimum (`2002.10857
    <https://arxiv.org/abs/2002.10857>`_, equations 5 to 8, with classes in place of pairs).

    Args:
        num_classes: As in :class:`IdentityLoss`.
        channels: As in :class:`IdentityLoss`.
        weight: As in :class:`IdentityLoss`.
        margin: The relaxation m of the optima ``1 + m`` and ``-m``.
        scale: Factor of the weighed cosines.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        weight: float = 1.0,
        margin: float = 0.25,
        scale: float = 256.0,
    ):
        super().__init__(num_classes, channels, weight)
        self.margin = check_number(self.key('margin'), margin, 0)
        self.scale = check_number(self.key('scale'), scale, 0, open_low=True)
        self.centres = nn.Parameter(torch.empty(num_classes, channels))
        nn.init.xavier_uniform_(self.centres)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines = F.linear(F.normalize(features), F.normalize(self.centres))
        near = (1 + self.margin - cosines.detach()).clamp(min=0) * (cosines - 1 + self.margin)
        far = (cosines.detach() + self.margin).clamp(min=0) * (cosines - self.margin)
        own = F.one_hot(labels, self.num_classes).bool()
        return F.cross_entropy(self.scale * torch.where(own, near, far), labels)
