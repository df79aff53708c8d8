"""What the losses of embeddings have in common."""

from typing import Any

from torch import Tensor, nn

from allinone.registry import MODELS
from allinone.registry.options import check_number
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
        self.weight = check_number(self.key('weight'), weight, 0)

    def key(self, option: str) -> str:
        """Name of an option in messages."""
        return f'{type(self).__name__}.{option}'

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError(f'{type(self).__name__} does not define forward()')


def loss_class(kind: object) -> type[EmbeddingLoss] | None:
    """The loss of embeddings of this ``type``, in whatever scope; None if it is none."""
    # A library in whose scope a model is built may have another loss of that name.
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    return found if isinstance(found, type) and issubclass(found, EmbeddingLoss) else None


def metric_learning(part: str, user: object) -> Any:
    """A module of pytorch-metric-learning: ``losses``, ``miners`` or ``distances``.

    Raises:
        ConfigError: If it is not installed.
    """
    return optional(f'pytorch_metric_learning.{part}', type(user).__name__, 'retrieval')
