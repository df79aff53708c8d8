"""Losses that compare images, by pytorch-metric-learning."""

from typing import Any

from torch import Tensor

from allinone.registry import MODELS
from allinone.registry.options import check_number

from .base import EmbeddingLoss, metric_learning


class PairLoss(EmbeddingLoss):
    """Compares each image of a batch with others.

    Args:
        weight: Factor of the loss.
    """

    needs_pairs = True
    miner: Any
    loss: Any

    def __init__(self, weight: float = 1.0):
        super().__init__(weight)
        # Not a class attribute: it would hide the module that a subclass sets.
        self.miner = None

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        pairs = None if self.miner is None else self.miner(features, labels)
        return self.loss(features, labels, pairs)

    def between(
        self, features: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor
    ) -> Tensor:
        """The loss of comparisons with other images ``(M, D)`` than those of the batch."""
        pairs = None
        if self.miner is not None:
            pairs = self.miner(features, labels, others, other_labels)
        return self.loss(features, labels, pairs, others, other_labels)


@MODELS.register_module()
class TripletLoss(PairLoss):
    """Of each image with its farthest positive and its nearest negative in the batch
    (`1703.07737 <https://arxiv.org/abs/1703.07737>`_, equation 5).

    Args:
        margin: Between their Euclidean distances; None: the soft margin ``ln(1 + exp(.))``.
        normalize: Compare embeddings of length 1.
        weight: Factor of the loss.
    """

    def __init__(self, margin: float | None = 0.3, normalize: bool = False, weight: float = 1.0):
        super().__init__(weight)
        gap = 0.0 if margin is None else check_number(self.key('margin'), margin, 0)
        distance = metric_learning('distances', self).LpDistance(normalize_embeddings=normalize)
        self.miner = metric_learning('miners', self).BatchHardMiner(distance=distance)
        self.loss = metric_learning('losses', self).TripletMarginLoss(
            margin=gap,
            smooth_loss=margin is None,
            distance=distance,
            # Over all images that have a positive and a negative, also where it is 0
            reducer=metric_learning('reducers', self).MeanReducer(),
        )


@MODELS.register_module()
class SupConLoss(PairLoss):
    """Supervised contrastive loss (`2004.11362 <https://arxiv.org/abs/2004.11362>`_, equation 2).

    Args:
        temperature: Divides the cosines.
        weight: Factor of the loss.
    """

    def __init__(self, temperature: float = 0.1, weight: float = 1.0):
        super().__init__(weight)
        self.loss = metric_learning('losses', self).SupConLoss(
            temperature=check_number(self.key('temperature'), temperature, 0, open_low=True)
        )


@MODELS.register_module()
class MultiSimilarityLoss(PairLoss):
    """Multi-similarity loss with its miner (`1904.06627 <https://arxiv.org/abs/1904.06627>`_,
    equations 6 to 8).

    Args:
        alpha: Scale of positive pairs.
        beta: Scale of negative pairs.
        base: The cosine from which pairs weigh more.
        epsilon: Margin of the miner.
        weight: Factor of the loss.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        epsilon: float = 0.1,
        weight: float = 1.0,
    ):
        super().__init__(weight)
        self.miner = metric_learning('miners', self).MultiSimilarityMiner(
            epsilon=check_number(self.key('epsilon'), epsilon, float('-inf'))
        )
        self.loss = metric_learning('losses', self).MultiSimilarityLoss(
            alpha=check_number(self.key('alpha'), alpha, 0, open_low=True),
            beta=check_number(self.key('beta'), beta, 0, open_low=True),
            base=check_number(self.key('base'), base, float('-inf')),
        )
