"""Hooks of training, validation and testing."""

from .batch_sizes import BatchSizeHook
from .checkpoint import CheckpointHook
from .deferred_log import DeferredLogHook
from .early_stopping import EarlyStoppingHook
from .ema import EMAHook
from .follow_validation import FollowValidationHook
from .image_statistics import ImageStatisticsHook
from .non_finite import NonFiniteHook
from .prediction_visualization import PredictionVisualizationHook

__all__ = [
    'NonFiniteHook',
    'BatchSizeHook',
    'CheckpointHook',
    'DeferredLogHook',
    'PredictionVisualizationHook',
    'EMAHook',
    'EarlyStoppingHook',
    'FollowValidationHook',
    'ImageStatisticsHook',
]
