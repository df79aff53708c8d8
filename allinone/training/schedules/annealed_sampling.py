"""Large data sets more often at first."""

from collections.abc import Mapping

import numpy as np

from allinone.errors import ConfigError
from allinone.registry import TASK_SCHEDULES
from allinone.registry.options import check_count, check_number

from .random_task import RandomTask


@TASK_SCHEDULES.register_module()
class AnnealedSampling(RandomTask):
    """One task a step, drawn at ``N**a`` with a changing linearly over the training.

    N is the task's number of samples; large data sets first, all alike in the end. Stickland and
    Murray, https://arxiv.org/abs/1902.02671, go from 1 to 0.2.

    Args:
        sizes: As in :class:`TaskSchedule`.
        seed: As in :class:`TaskSchedule`.
        begin: a at the first step, not below 0.
        end: a at the last step, not below 0.
        steps: Number of steps of the fall. Default: ``max_iters`` of the training.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        seed: int = 0,
        begin: float = 1.0,
        end: float = 0.2,
        steps: int | None = None,
    ):
        super().__init__(sizes, seed)
        self.begin = check_number('train_cfg.schedule.begin', begin, 0)
        self.end = check_number('train_cfg.schedule.end', end, 0)
        self.steps = steps
        if steps is not None:
            check_count('train_cfg.schedule.steps', steps, 2)
        self.uses_length = steps is None

    def start(self, max_iters: int, evaluated: Mapping[str, set[str] | None]) -> None:
        self.steps = self.steps or max(max_iters, 2)

    def rates(self, step: int) -> np.ndarray:
        if self.steps is None:
            raise ConfigError(
                'train_cfg.schedule.steps is not set; give the number of steps of the training'
            )
        share = min(step / (self.steps - 1), 1)
        sizes = np.array(list(self.sizes.values()), dtype=float)
        powers = (sizes / sizes.max()) ** (self.begin + (self.end - self.begin) * share)
        return powers / powers.sum()
