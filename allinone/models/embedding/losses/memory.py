"""Comparison with the embeddings of earlier batches."""

from collections.abc import Mapping

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor

from allinone.errors import ConfigError
from allinone.registry import MODELS
from allinone.registry.options import check_count

from .base import EmbeddingLoss, loss_class
from .pairs import PairLoss


@MODELS.register_module()
class CrossBatchMemory(EmbeddingLoss):
    """A loss of pairs between a batch and the embeddings of the last ones (`1912.06798
    <https://arxiv.org/abs/1912.06798>`_).

    Comparisons inside the batch are not part of it; add the same loss for them. The queue is a
    buffer of the model, so a resumed run continues with it. All ranks have the same queue.

    Args:
        channels: Length D of embeddings; the head gives it.
        loss: Config of the loss, one that compares images.
        size: Number of embeddings that are kept.
        weight: Factor of the loss.

    Raises:
        ConfigError: If ``loss`` compares no images.
    """

    embeddings: Tensor
    labels: Tensor
    count: Tensor
    # Images of one identity lie in different batches.
    needs_pairs = False

    def __init__(self, channels: int, loss: Mapping, size: int = 1024, weight: float = 1.0):
        super().__init__(weight)
        cls = loss_class(loss.get('type'))
        if cls is None or not issubclass(cls, PairLoss):
            raise ConfigError(
                f'CrossBatchMemory.loss.type is {loss.get("type")!r}, which compares no images; '
                'use TripletLoss, SupConLoss or MultiSimilarityLoss'
            )
        self.loss = MODELS.build(dict(loss, type=cls))
        self.size = check_count(self.key('size'), size)
        self.register_buffer('embeddings', torch.zeros(size, channels))
        self.register_buffer('labels', torch.zeros(size, dtype=torch.long))
        self.register_buffer('count', torch.zeros((), dtype=torch.long))  # Of all that were added

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        count = int(self.count)
        kept = min(count, self.size)
        # A copy, since the queue changes before the backward pass
        others, other_labels = self.embeddings[:kept].clone(), self.labels[:kept].clone()
        value = features.sum() * 0
        if kept:
            between = self.loss.between(features, labels, others, other_labels)
            value = value + self.loss.weight * between
        if self.training and torch.is_grad_enabled():
            self._add(count, _of_all_ranks(features.detach()), _of_all_ranks(labels))
        return value

    def _add(self, count: int, embeddings: Tensor, labels: Tensor) -> None:
        new = len(embeddings)
        embeddings, labels = embeddings[-self.size :], labels[-self.size :]
        places = torch.arange(count + new - len(embeddings), count + new) % self.size
        places = places.to(self.labels.device)
        self.embeddings[places] = embeddings.to(self.embeddings.dtype)
        self.labels[places] = labels
        self.count += new


def _of_all_ranks(values: Tensor) -> Tensor:
    """The rows ``(N, ...)`` of all ranks in their order; ranks may have different N."""
    if get_world_size() == 1:
        return values
    sizes = [int(size) for size in all_gather(torch.tensor(len(values), device=values.device))]
    padded = values.new_zeros(max(sizes), *values.shape[1:])
    padded[: len(values)] = values
    return torch.cat([part[:size] for part, size in zip(all_gather(padded), sizes)])
