"""Large data sets more often."""

import numpy as np

from allinone.registry import TASK_SCHEDULES

from .random_task import RandomTask


@TASK_SCHEDULES.register_module()
class SizeProportional(RandomTask):
    """One task a step, drawn in proportion to its number of samples."""

    def rates(self, step: int) -> np.ndarray:
        sizes = np.array(list(self.sizes.values()), dtype=float)
        return sizes / sizes.sum()
