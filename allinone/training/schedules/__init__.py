from allinone.io.renames import renamed_names

from .all_tasks import AllTasks
from .annealed_sampling import AnnealedSampling
from .base import TaskSchedule
from .fixed_proportions import FixedProportions
from .random_task import RandomTask
from .round_robin import RoundRobin
from .size_proportional import SizeProportional
from .stop_and_go import StopAndGo
from .temperature_sampling import TemperatureSampling

__all__ = [
    'AnnealedSampling',
    'AllTasks',
    'RandomTask',
    'RoundRobin',
    'SizeProportional',
    'StopAndGo',
    'TaskSchedule',
    'TemperatureSampling',
    'FixedProportions',
]

OLD = ('Annealed', 'EveryTask', 'Temperature', 'Weighted')
__getattr__ = renamed_names(__name__, OLD)
