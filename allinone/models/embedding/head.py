"""Embeddings of pooled features, and their losses."""

import re
from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from allinone.config.build_errors import accepted_keys
from allinone.errors import ConfigError
from allinone.registry import MODELS
from allinone.registry.options import check_count

from .losses import EmbeddingLoss
from .losses.base import loss_class


@MODELS.register_module()
class EmbeddingHead(BaseModule):
    """Projection, batch norm and losses of embeddings.

    The batch norm has no shift (BNNeck, `1906.08332 <https://arxiv.org/abs/1906.08332>`_). Losses
    of identities, and the embedding, are behind it; losses that compare images are before it. Its
    statistics are of this head alone.

    Args:
        in_channels: Channels of the pooled features.
        embedding_size: Length D of the embedding, by a linear layer without bias. Default: that of
            the features, without a layer.
        num_classes: Number of identities, for losses of identities.
        bnneck: Whether there is the batch norm.
        losses: Configs of the losses, each with ``weight``.
        init_cfg: As in mmengine.

    Raises:
        ConfigError: If there is no loss, one is none of embeddings, or ``num_classes`` is missing.
    """

    def __init__(
        self,
        in_channels: int,
        embedding_size: int | None = None,
        num_classes: int | None = None,
        bnneck: bool = True,
        losses: Sequence[Mapping] = (),
        init_cfg: Mapping | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels, self.num_classes = in_channels, num_classes
        self.channels = in_channels
        if embedding_size is not None:
            self.channels = check_count('head.embedding_size', embedding_size)
        self.projection = (
            nn.Identity()
            if embedding_size is None
            else nn.Linear(in_channels, embedding_size, bias=False)
        )
        self.norm = nn.BatchNorm1d(self.channels) if bnneck else nn.Identity()
        if bnneck:
            # A buffer of zeros, so that optimizers do not meet a parameter that is never trained
            del self.norm.bias
            self.norm.register_buffer('bias', torch.zeros(self.channels))
        if not losses:
            raise ConfigError(
                "head.losses is empty; give at least one, as in [dict(type='SoftmaxLoss')]"
            )
        self.losses = nn.ModuleList(
            [self._build(f'head.losses.{number}', dict(cfg)) for number, cfg in enumerate(losses)]
        )

    @property
    def needs_pairs(self) -> bool:
        """Whether a loss compares images of one identity in a batch."""
        return bool(self.pair_losses)

    @property
    def pair_losses(self) -> str:
        """The losses that do."""
        return ', '.join(type(loss).__name__ for loss in self.losses if loss.needs_pairs)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Embeddings ``(N, D)`` of pooled features ``(..., (N, C))``, not normalised."""
        return self.norm(self._projected(feats))

    def loss(self, feats: tuple[Tensor, ...], labels: Tensor) -> dict[str, Tensor]:
        """``{name: loss}`` of pooled features and the labels of identities ``(N,)``."""
        before = self._projected(feats)
        behind = self.norm(before)
        found: dict[str, Tensor] = {}
        with torch.autocast(before.device.type, enabled=False):
            for loss in self.losses:
                features = (behind if loss.behind_norm else before).float()
                name = _name(type(loss).__name__)
                number = sum(other.startswith(name) for other in found)
                found[f'{name}_{number}' if number else name] = loss.weight * loss(features, labels)
        return found

    def _projected(self, feats: tuple[Tensor, ...]) -> Tensor:
        features = feats[-1] if isinstance(feats, (tuple, list)) else feats
        if features.dim() != 2:
            raise ConfigError(
                f'EmbeddingHead gets a feature map {tuple(features.shape)}; pool it with '
                "neck=dict(type='mmpretrain.GlobalAveragePooling') or GeneralizedMeanPooling"
            )
        return self.projection(features)

    def _build(self, key: str, cfg: dict) -> EmbeddingLoss:
        cls = loss_class(cfg.get('type'))
        if cls is None:
            raise ConfigError(
                f'{key}.type is {cfg.get("type")!r}, which is no loss of embeddings; use '
                'SoftmaxLoss, ArcFaceLoss, CosFaceLoss, CircleLoss, TripletLoss, SupConLoss, '
                'MultiSimilarityLoss or CrossBatchMemory'
            )
        keys = accepted_keys(cls)
        if 'num_classes' in keys:
            if not isinstance(self.num_classes, int) or self.num_classes < 1:
                raise ConfigError(
                    f'{key} is {cls.__name__}, which classifies identities, but head.num_classes '
                    f'is {self.num_classes!r}; set it to their number (it follows from training '
                    'data that are there)'
                )
            cfg.setdefault('num_classes', self.num_classes)
        if 'channels' in keys:
            cfg.setdefault('channels', self.channels)
        return MODELS.build(dict(cfg, type=cls))


def _name(cls: str) -> str:
    """``'loss_triplet'`` of ``'TripletLoss'``."""
    words = re.findall('[A-Z][a-z]*', cls.removesuffix('Loss'))
    return '_'.join(['loss', *map(str.lower, words)])
