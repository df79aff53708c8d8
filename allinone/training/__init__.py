"""The runner, its loops, schedules and hooks."""

from allinone.checkpoint import library_loads

from .eval_loop import MultiTaskTestLoop, MultiTaskValLoop, PredictLoop
from .hooks import BadStepHook, CheckpointHook, DeferredLogHook, DrawHook, EMAHook
from .layer_decay import LayerDecay
from .local_log import LocalVisBackend
from .precise_bn import PreciseBNHook
from .runner import MultiDatasetRunner
from .schedules import EveryTask, RoundRobin, SizeProportional, TaskSchedule
from .train_loop import MultiTaskTrainLoop

__all__ = [
    'BadStepHook',
    'CheckpointHook',
    'DeferredLogHook',
    'DrawHook',
    'EMAHook',
    'EveryTask',
    'LayerDecay',
    'LocalVisBackend',
    'MultiDatasetRunner',
    'MultiTaskTestLoop',
    'MultiTaskTrainLoop',
    'MultiTaskValLoop',
    'PreciseBNHook',
    'PredictLoop',
    'RoundRobin',
    'SizeProportional',
    'TaskSchedule',
]

library_loads.install()
