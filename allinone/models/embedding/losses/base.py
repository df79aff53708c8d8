"""What the losses of embeddings have in common."""

from typing import Any

from torch import Tensor, nn

from allinone.tasks.results.base import optional


class EmbeddingLoss(nn.Module):
    """A loss of embeddings ``(N, D)`` and labels of identities ``(N,)``.

    Args:
        weight: Factor of the loss.

    Attributes:
        needs_pairs: Whether it compares images of one identity in a batch.
        behind_norm: Whether it gets the features behind the BNNeck, not those before it.
    """

    needs_pairs = False
    behind_norm = False

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError(f'{type(self).__name__} does not define forward()')


def metric_learning(part: str, user: object) -> Any:
    """A module of pytorch-metric-learning: ``losses``, ``miners`` or ``distances``.

    Raises:
        ConfigError: If it is not installed.
    """
    return optional(f'pytorch_metric_learning.{part}', type(user).__name__, 'retrieval')
