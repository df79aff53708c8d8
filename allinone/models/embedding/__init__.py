"""Models and losses of retrieval tasks."""

from .classifier import ArcFaceClsHead, EmbeddingClassifier
from .head import EmbeddingHead
from .losses import (
    ArcFaceLoss,
    CircleLoss,
    CosFaceLoss,
    CrossBatchMemory,
    MultiSimilarityLoss,
    SoftmaxLoss,
    SupConLoss,
    TripletLoss,
)
from .model import EmbeddingModel

__all__ = [
    'ArcFaceClsHead',
    'ArcFaceLoss',
    'CircleLoss',
    'CosFaceLoss',
    'CrossBatchMemory',
    'EmbeddingClassifier',
    'EmbeddingHead',
    'EmbeddingModel',
    'MultiSimilarityLoss',
    'SoftmaxLoss',
    'SupConLoss',
    'TripletLoss',
]
