"""Knowledge distillation: additional losses of the tasks towards frozen teachers."""

from .distillation import Distillation
from .losses import DistillationLoss, FeatureImitation, LogitDistillation, ScoreDistillation

__all__ = [
    'Distillation',
    'DistillationLoss',
    'FeatureImitation',
    'LogitDistillation',
    'ScoreDistillation',
]
