"""Large data sets more often, but less so than in proportion."""

from collections.abc import Mapping

import numpy as np

from allinone.registry import TASK_SCHEDULES
from allinone.registry.options import check_number

from .random_task import RandomTask


@TASK_SCHEDULES.register_module()
class TemperatureSampling(RandomTask):
    """One task a step, drawn at a rate proportional to ``min(N, cap)**(1 / temperature)``.

    N is the task's number of samples. Temperature 1 is in proportion to size, a large one uniform.
    Multilingual translation and T5 sample so, https://arxiv.org/abs/1910.10683.

    Args:
        sizes: As in :class:`TaskSchedule`.
        seed: As in :class:`TaskSchedule`.
        temperature: Above 0.
        cap: No data set counts as larger than this; None: no limit.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        seed: int = 0,
        temperature: float = 2.0,
        cap: float | None = None,
    ):
        super().__init__(sizes, seed)
        self.temperature = check_number(
            'train_cfg.schedule.temperature', temperature, 0, open_low=True
        )
        self.cap = cap
        if cap is not None:
            check_number('train_cfg.schedule.cap', cap, 0, open_low=True)

    def rates(self, step: int) -> np.ndarray:
        sizes = np.array(list(self.sizes.values()), dtype=float)
        # In units of the largest, or a low temperature would overflow.
        sizes = sizes if self.cap is None else sizes.clip(max=self.cap)
        powers = (sizes / sizes.max()) ** (1 / self.temperature)
        return powers / powers.sum()
