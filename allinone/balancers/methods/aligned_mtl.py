"""Aligned-MTL: orthogonal gradients of equal length."""

from collections.abc import Sequence

import numpy as np
import torch

from allinone.balancers.gramian_weighting import GramianWeighting
from allinone.balancers.solvers.correlation import points_of
from allinone.registry import BALANCERS
from allinone.registry.options import check_choice, check_numbers, check_one_each


@BALANCERS.register_module()
class AlignedMTL(GramianWeighting):
    r"""Independent component alignment, `Senushkin et al. <https://arxiv.org/abs/2305.19000>`_.

    .. math:: w = \sqrt{\lambda_{min}}\, V \Lambda^{-1/2} V^T p, \qquad G = V \Lambda V^T

    where p is the preference and :math:`\lambda_{min}` the smallest eigenvalue above 0. If a
    gradient depends on the others, only the eigenvalues of the space that they span count, so d is
    the same as for its orthonormal axes: identical and opposite gradients both give
    :math:`\sum_k p_k g_k`.

    Deviations: gradients are dependent if their *cosines* have an eigenvalue of rounding size, so
    a short gradient never counts as dependent. Written by hand: TorchJD's ``AlignedMTLWeighting``
    (otherwise equal in value) uses the Gramian's eigenvalues, and in float32 loses a gradient a
    thousand times shorter than another.

    Args:
        preference: p, one number per task in the order of the tasks, none negative, not all 0;
            default 1/K each.
        scale: Common eigenvalue after scaling: ``'min'``, ``'median'`` or ``'rmse'`` (mean).
    """

    def __init__(self, preference: Sequence[float] | None = None, scale: str = 'min'):
        super().__init__()
        if preference is not None:
            preference = check_numbers('model.balancer.preference', preference, 0, some=True)
        self.preference = preference
        self.scale = check_choice('model.balancer.scale', scale, ('min', 'median', 'rmse'))

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        super().prepare(num_tasks, device)
        if self.preference is not None:
            check_one_each(
                'model.balancer.preference', self.preference, self.num_tasks, self.task_names
            )

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        if self.preference is None:
            preference: np.ndarray = np.full(len(tasks), 1 / len(tasks))
        else:
            preference = np.array([self.preference[task] for task in tasks])
        # Singular values of the points are the square roots of the Gramian's eigenvalues.
        points = points_of(gramian, self.rounding)
        _, roots, axes = np.linalg.svd(points, full_matrices=False)
        scale = dict(
            min=roots[-1],
            median=roots[len(roots) // 2],  # the lower one of an even number
            rmse=np.sqrt(np.mean(roots**2)),
        )
        return scale[self.scale] * axes.T @ (axes @ preference / roots)
