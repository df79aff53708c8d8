from .bad_steps import BadStepHook
from .checkpoint_hook import CheckpointHook
from .ema import EMAHook
from .hooks import DeferredLogHook
from .loops import MultiTaskTestLoop, MultiTaskTrainLoop, MultiTaskValLoop
from .precise_bn import PreciseBNHook
from .pretrained import SafePretrainedInit
from .runner import MultiDatasetRunner
from .samplers import DrawSampler
from .schedules import EveryTask, RoundRobin, SizeProportional, TaskSchedule

__all__ = [
    'BadStepHook',
    'CheckpointHook',
    'DeferredLogHook',
    'DrawSampler',
    'EMAHook',
    'EveryTask',
    'MultiDatasetRunner',
    'MultiTaskTestLoop',
    'MultiTaskTrainLoop',
    'MultiTaskValLoop',
    'PreciseBNHook',
    'RoundRobin',
    'SafePretrainedInit',
    'SizeProportional',
    'TaskSchedule',
]
