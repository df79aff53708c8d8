from .annealed import Annealed
from .base import TaskSchedule
from .every_task import EveryTask
from .random_task import RandomTask
from .round_robin import RoundRobin
from .size_proportional import SizeProportional
from .stop_and_go import StopAndGo
from .temperature import Temperature
from .weighted import Weighted

__all__ = [
    'Annealed',
    'EveryTask',
    'RandomTask',
    'RoundRobin',
    'SizeProportional',
    'StopAndGo',
    'TaskSchedule',
    'Temperature',
    'Weighted',
]
