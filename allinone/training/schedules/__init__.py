from .all_tasks import EveryTask
from .annealed_sampling import Annealed
from .base import TaskSchedule
from .fixed_proportions import Weighted
from .random_task import RandomTask
from .round_robin import RoundRobin
from .size_proportional import SizeProportional
from .stop_and_go import StopAndGo
from .temperature_sampling import Temperature

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
