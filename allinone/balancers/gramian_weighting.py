"""What all methods that weigh the tasks' trunk gradients by their Gramian share."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .base import Balancer

ZERO_NORM = 1e-12


class GramianWeighting(Balancer):
    """A gradient weighting: the trunk's gradient is ``weights @ gradients``, heads are not scaled.

    The K x K Gramian goes to the CPU once, in float64, and :meth:`solve` sees only what a method
    can answer: two tasks or more, finite numbers, no zero gradient. The rest is answered here as
    :class:`Balancer` documents it.
    """

    requires = 'gramian'

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        """Weights ``[K]`` from a Gramian ``[K, K]`` with a positive diagonal.

        Args:
            gramian: Inner products of the tasks' trunk gradients, float64.
            losses: Task losses ``[K]``.
            tasks: Which tasks they are.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define solve()')

    def commit(self) -> None:
        """Keep what the last :meth:`solve` found out, at the end of the step."""

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        self.prepare(len(losses), losses.device)
        self._solved = False
        count = len(losses)
        if count == 1:
            return torch.ones_like(losses)
        both = torch.cat([gramian.detach(), losses.detach().to(gramian)[:, None]], 1)
        both = both.to('cpu', torch.float64).numpy()
        matrix, values = both[:, :count], both[:, count]
        weights = np.ones(count)
        norms = np.sqrt(np.diag(matrix).clip(0))
        if np.isfinite(both).all() and norms.any():
            present = np.flatnonzero(norms > ZERO_NORM * norms.max())
            weights = np.zeros(count)
            if len(present) == 1:
                weights[present] = 1
            else:
                chosen = list(range(count) if tasks is None else tasks)
                found = self.solve(
                    matrix[np.ix_(present, present)], values[present], [chosen[i] for i in present]
                )
                # A solver that found nothing must not stop the training.
                weights[present] = found if np.isfinite(found).all() else 1
                self._solved = True
        return torch.from_numpy(weights).to(
            losses.device, torch.promote_types(losses.dtype, torch.float32)
        )

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        if getattr(self, '_solved', False):
            for name in self.counters:
                setattr(self, name, getattr(self, name) + 1)
            self.commit()
        self._solved = False
