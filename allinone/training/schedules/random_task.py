"""What all schedules that draw one task a step share."""

import numpy as np

from allinone.io.seeding import seed_of

from .base import TaskSchedule


class RandomTask(TaskSchedule):
    """One task a step, drawn at :meth:`rates`."""

    one_task = True

    def rates(self, step: int) -> np.ndarray:
        """Probabilities ``[K]`` of the tasks at ``step``; they sum to 1."""
        raise NotImplementedError(f'{type(self).__name__} does not define rates()')

    def __call__(self, step: int) -> list[str]:
        uniform = np.random.default_rng(seed_of(self.seed, 'schedule', step)).random()
        chosen = np.searchsorted(np.cumsum(self.rates(step)), uniform, side='right')
        return [self.tasks[min(int(chosen), len(self.tasks) - 1)]]
