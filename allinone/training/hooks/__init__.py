"""Hooks of training, validation and testing."""

from .checkpoint import CheckpointHook
from .deferred_log import DeferredLogHook
from .ema import EMAHook
from .non_finite import BadStepHook
from .prediction_visualization import DrawHook

__all__ = ['BadStepHook', 'CheckpointHook', 'DeferredLogHook', 'DrawHook', 'EMAHook']
