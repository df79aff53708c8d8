"""Gradients made orthogonal and equally long."""

from collections.abc import Sequence

import numpy as np
import torch
from torchjd.aggregation import AlignedMTLWeighting

from allinone.errors import ConfigError
from allinone.registry import BALANCERS

from .base import check_choice, check_number
from .gramian_weighting import GramianWeighting


@BALANCERS.register_module()
class AlignedMTL(GramianWeighting):
    r"""Independent component alignment, `Senushkin et al. <https://arxiv.org/abs/2305.19000>`_.

    .. math:: w = \sqrt{\lambda_{min}}\, V \Lambda^{-1/2} V^T p, \qquad G = V \Lambda V^T

    where p is the preference and :math:`\lambda_{min}` the smallest eigenvalue above rounding.
    Dependent gradients (identical, opposite) are handled in the space that they span.

    Deviations: none. Uses TorchJD's ``AlignedMTLWeighting``, in float32, whose rounding is that of
    the products, so that noise is not taken for a direction.

    Args:
        preference: p, in the order of the tasks; default 1/K each.
        scale: ``'min'``, ``'median'`` or ``'rmse'``: which eigenvalue all are brought to.
    """

    def __init__(self, preference: Sequence[float] | None = None, scale: str = 'min'):
        super().__init__()
        for value in preference or ():
            check_number('model.balancer.preference', value, 0)
        self.preference = preference
        check_choice('model.balancer.scale', scale, ('min', 'median', 'rmse'))
        self._weighting = AlignedMTLWeighting(scale_mode=scale)

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        super().prepare(num_tasks, device)
        if self.preference and len(self.preference) != self.num_tasks:
            raise ConfigError(
                f'model.balancer.preference has {len(self.preference)} numbers for '
                f'{self.num_tasks} tasks; give one for each'
            )

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        if self.preference:
            self._weighting.pref_vector = torch.tensor(
                [float(self.preference[task]) for task in tasks]
            )
        return self._weighting(torch.from_numpy(gramian).float()).double().numpy()
