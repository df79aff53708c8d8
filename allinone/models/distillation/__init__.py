"""A frozen teacher's answers as further losses of the tasks."""

from .distillation import Distillation
from .losses import DistillationLoss, FeatureImitation, LogitDistillation, ScoreDistillation

__all__ = [
    'Distillation',
    'DistillationLoss',
    'FeatureImitation',
    'LogitDistillation',
    'ScoreDistillation',
]
