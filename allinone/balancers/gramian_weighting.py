"""Base of the methods that weigh the tasks' backbone gradients by their Gramian."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .base import Balancer
from .gramian import gramian_of, weighted_sum

ZERO_NORM = 1e-12
DEPENDENT = 1e-12
CANCELS = 1e-3
LARGEST = 1e30


class GramianWeighting(Balancer):
    """A gradient weighting: the backbone's gradient is ``weights @ gradients``, heads are not
    scaled.

    The K x K Gramian is copied to the CPU once, in float64. :meth:`solve` gets at least two tasks,
    finite numbers and no zero gradient; this class handles all other input as documented in
    :class:`Balancer`.

    Attributes:
        rounding: Eigenvalues of the cosines below this fraction of the largest are rounding errors:
            1e-12, because dependent float32 gradients give up to 1e-13; more for a float32 Gramian.
    """

    requires = 'gramian'
    rounding = DEPENDENT

    def solve(self, gramian: np.ndarray, losses: np.ndarray, tasks: list[int]) -> np.ndarray:
        """Weights ``[K]`` from a Gramian ``[K, K]`` with a positive diagonal.

        Args:
            gramian: Inner products of the tasks' backbone gradients, float64.
            losses: Task losses ``[K]``.
            tasks: Indices of the K tasks.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define solve()')

    def commit(self) -> None:
        """Store the result of the last :meth:`solve` in the state, at the end of the step."""

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        self.prepare(len(losses), losses.device)
        self._solved = self._delicate = False
        count = len(losses)
        weights = np.ones(count)
        if count > 1:
            if gramian is None:
                raise ValueError(f'{type(self).__name__} weighs by gradients; give their gramian')
            self.rounding = max(DEPENDENT, 10 * count * torch.finfo(gramian.dtype).eps)
            table = torch.cat([gramian.detach(), losses.detach().to(gramian)[:, None]], 1)
            both = table.to('cpu', torch.float64).numpy()
            matrix, values = both[:, :count], both[:, count]
            norms = np.sqrt(np.diag(matrix).clip(0))
            if np.isfinite(both).all() and norms.any():
                weights = self._weights(matrix, values, norms, tasks)
                length = np.sqrt(max(weights @ matrix @ weights, 0))
                # In float32 a sum that nearly cancels would consist of rounding errors.
                cancels = length < CANCELS * (np.abs(weights) @ norms)
                self._delicate = cancels or np.abs(weights).max() > LARGEST
        self._exact = torch.from_numpy(weights)
        dtype = torch.promote_types(losses.dtype, torch.float32)
        largest = torch.finfo(dtype).max
        return self._exact.clamp(-largest, largest).to(losses.device, dtype)

    def _weights(
        self,
        gramian: np.ndarray,
        losses: np.ndarray,
        norms: np.ndarray,
        tasks: Sequence[int] | None,
    ) -> np.ndarray:
        """Weights ``[K]`` from finite numbers, not all 0."""
        weights = np.zeros(len(norms))
        present = np.flatnonzero(norms > ZERO_NORM * norms.max())
        if len(present) == 1:
            weights[present] = 1
            return weights
        chosen = list(range(len(norms)) if tasks is None else tasks)
        found = self.solve(
            gramian[np.ix_(present, present)], losses[present], [chosen[i] for i in present]
        )
        # A solver without a result must not stop the training.
        weights[present] = found if np.isfinite(found).all() else 1
        self._solved = True
        return weights

    def combine(
        self, losses: Tensor, gradients: Tensor, tasks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        gramian = gramian_of(gradients)
        weights = self.weights(losses, gramian, tasks)
        exactly = self._delicate or gradients.dtype == torch.float64
        combined = weighted_sum(self._exact.to(gradients.device) if exactly else weights, gradients)
        self.update(losses, gramian, tasks)
        return combined, weights

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        if getattr(self, '_solved', False):
            for name in self.counters:
                setattr(self, name, getattr(self, name) + 1)
            self.commit()
        self._solved = False
