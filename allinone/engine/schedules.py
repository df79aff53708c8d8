"""Which tasks take part in which training step."""

from collections.abc import Mapping

import numpy as np

from allinone.datasets.seeded import seed_of
from allinone.registry import TASK_SCHEDULES


class TaskSchedule:
    """The task list of a step as a pure function of (seed, step, data-set sizes).

    Pure, so that it is the same on every rank and resuming needs no state.

    Args:
        sizes: ``{task: number of training samples}`` in the order of ``model.tasks``.
        seed: The run's seed.
    """

    def __init__(self, sizes: Mapping[str, int], seed: int = 0):
        self.sizes = dict(sizes)
        self.tasks = list(sizes)
        self.seed = seed

    def __call__(self, step: int) -> list[str]:
        """Names of the tasks of step ``step`` (0 for the first), in the order of the config."""
        raise NotImplementedError(f'{type(self).__name__} does not define __call__()')


@TASK_SCHEDULES.register_module()
class EveryTask(TaskSchedule):
    """Every task in every step: one optimizer step of all tasks' gradients together."""

    def __call__(self, step: int) -> list[str]:
        return self.tasks


@TASK_SCHEDULES.register_module()
class RoundRobin(TaskSchedule):
    """One task a step, in turn."""

    def __call__(self, step: int) -> list[str]:
        return [self.tasks[step % len(self.tasks)]]


class RandomTask(TaskSchedule):
    """One task a step, drawn at :meth:`rates`."""

    def rates(self, step: int) -> np.ndarray:
        """Probabilities ``[K]`` of the tasks at ``step``; they sum to 1."""
        raise NotImplementedError(f'{type(self).__name__} does not define rates()')

    def __call__(self, step: int) -> list[str]:
        uniform = np.random.default_rng(seed_of(self.seed, 'schedule', step)).random()
        chosen = np.searchsorted(np.cumsum(self.rates(step)), uniform, side='right')
        return [self.tasks[min(int(chosen), len(self.tasks) - 1)]]


@TASK_SCHEDULES.register_module()
class SizeProportional(RandomTask):
    """One task a step, drawn in proportion to its number of samples."""

    def rates(self, step: int) -> np.ndarray:
        sizes = np.array(list(self.sizes.values()), dtype=float)
        return sizes / sizes.sum()
