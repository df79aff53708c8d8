from . import library_loads
from .bad_steps import BadStepHook
from .checkpoint_hook import CheckpointHook
from .ema import EMAHook
from .hooks import DeferredLogHook
from .layer_decay import LayerDecay
from .local_log import LocalVisBackend
from .loops import MultiTaskTestLoop, MultiTaskTrainLoop, MultiTaskValLoop, PredictLoop
from .precise_bn import PreciseBNHook
from .pretrained import SafePretrainedInit
from .runner import MultiDatasetRunner
from .samplers import ClassAwareSampler, DrawSampler
from .schedules import EveryTask, RoundRobin, SizeProportional, TaskSchedule

__all__ = [
    'BadStepHook',
    'CheckpointHook',
    'ClassAwareSampler',
    'DeferredLogHook',
    'DrawSampler',
    'EMAHook',
    'EveryTask',
    'MultiDatasetRunner',
    'LayerDecay',
    'LocalVisBackend',
    'MultiTaskTestLoop',
    'MultiTaskTrainLoop',
    'MultiTaskValLoop',
    'PreciseBNHook',
    'PredictLoop',
    'RoundRobin',
    'SafePretrainedInit',
    'SizeProportional',
    'TaskSchedule',
]

library_loads.install()
