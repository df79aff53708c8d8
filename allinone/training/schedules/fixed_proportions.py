"""Rates that the user gives."""

from collections.abc import Mapping

import numpy as np

from allinone.errors import ConfigError
from allinone.registry import TASK_SCHEDULES
from allinone.registry.options import check_number

from .random_task import RandomTask

KEY = 'train_cfg.schedule.weights'


@TASK_SCHEDULES.register_module()
class FixedProportions(RandomTask):
    """One task a step, drawn at given rates.

    Args:
        sizes: As in :class:`TaskSchedule`.
        seed: As in :class:`TaskSchedule`.
        weights: ``{task: rate}`` of all tasks, in any unit; none negative, not all 0.

    Raises:
        ConfigError: If tasks are unknown or missing, or rates are negative or all 0.
    """

    def __init__(
        self, sizes: Mapping[str, int], seed: int = 0, weights: Mapping[str, float] | None = None
    ):
        super().__init__(sizes, seed)
        if not isinstance(weights, Mapping) or set(weights) != set(self.tasks):
            raise ConfigError(f'{KEY} is {weights!r}; give a rate to each of {self.tasks}')
        self._weights = np.array(
            [check_number(f'{KEY}.{task}', weights[task], 0) for task in self.tasks]
        )
        if not self._weights.any():
            raise ConfigError(f'{KEY} is {weights!r}; make at least one positive')

    def rates(self, step: int) -> np.ndarray:
        return self._weights / self._weights.sum()
