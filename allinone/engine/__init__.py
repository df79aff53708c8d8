from .bad_steps import BadStepHook
from .hooks import DeferredLogHook
from .loops import MultiTaskTestLoop, MultiTaskTrainLoop, MultiTaskValLoop
from .runner import MultiDatasetRunner
from .samplers import DrawSampler
from .schedules import EveryTask, RoundRobin, SizeProportional, TaskSchedule

__all__ = [
    'BadStepHook',
    'DeferredLogHook',
    'DrawSampler',
    'EveryTask',
    'MultiDatasetRunner',
    'MultiTaskTestLoop',
    'MultiTaskTrainLoop',
    'MultiTaskValLoop',
    'RoundRobin',
    'SizeProportional',
    'TaskSchedule',
]
