"""The runner, its loops, schedules and hooks."""

from allinone.checkpoint import library_loads
from allinone.io.renames import renamed_names

from .eval_loop import MultiTaskTestLoop, MultiTaskValLoop, PredictLoop
from .hooks import (
    CheckpointHook,
    DeferredLogHook,
    EMAHook,
    NonFiniteHook,
    PredictionVisualizationHook,
)
from .layer_decay import LayerDecay
from .local_log import LocalVisBackend
from .precise_bn import PreciseBNHook
from .runner import MultiDatasetRunner
from .schedules import AllTasks, RoundRobin, SizeProportional, TaskSchedule
from .train_loop import MultiTaskTrainLoop

__all__ = [
    'NonFiniteHook',
    'CheckpointHook',
    'DeferredLogHook',
    'PredictionVisualizationHook',
    'EMAHook',
    'AllTasks',
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

__getattr__ = renamed_names(__name__, ('BadStepHook', 'DrawHook', 'EveryTask'))
