"""Which tasks take part in a step; the schedules of ``TASK_SCHEDULES`` are names here."""

from allinone.io.renames import renamed_names
from allinone.registry import TASK_SCHEDULES
from allinone.registry.discovery import import_modules, registered_names

from .base import TaskSchedule

__all__ = ['TaskSchedule']
OLD = ('Annealed', 'EveryTask', 'Temperature', 'Weighted')

import_modules(__name__)
__getattr__ = registered_names(__name__, TASK_SCHEDULES, renamed_names(__name__, OLD))
