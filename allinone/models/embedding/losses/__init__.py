"""Losses of embeddings: of identities as classes, and of pairs of images."""

from .base import EmbeddingLoss
from .identities import ArcFaceLoss, CircleLoss, CosFaceLoss, SoftmaxLoss
from .memory import CrossBatchMemory
from .pairs import MultiSimilarityLoss, PairLoss, SupConLoss, TripletLoss

__all__ = [
    'ArcFaceLoss',
    'CircleLoss',
    'CosFaceLoss',
    'CrossBatchMemory',
    'EmbeddingLoss',
    'MultiSimilarityLoss',
    'PairLoss',
    'SoftmaxLoss',
    'SupConLoss',
    'TripletLoss',
]
