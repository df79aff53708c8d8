"""One training iteration, as counted by mmengine's optimizer wrapper."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Iteration:
    """Several backward passes as one iteration of gradient accumulation and mixed precision.

    mmengine's wrapper counts backward passes, but an iteration has one for each task and
    micro-batch, so the count does not change before :meth:`end`.

    Args:
        optim_wrapper: mmengine's optimizer wrapper.

    Attributes:
        scale: Factor of the loss scaler (scalar), read after the last forward pass; None: no
            scaler.
        may_skip: Whether there is a loss scaler, which skips non-finite steps.
    """

    def __init__(self, optim_wrapper) -> None:
        self.optim_wrapper = optim_wrapper
        self.may_skip = hasattr(optim_wrapper, 'loss_scaler')
        self.scale: Tensor | None = None

    @property
    def is_last(self) -> bool:
        """Whether the optimizer step follows this iteration."""
        return self.optim_wrapper.should_sync()

    def reaches_multiple_of(self, interval: int) -> bool:
        """Whether a multiple of ``interval`` is among the iterations of this optimizer step."""
        return bool(interval) and -self.optim_wrapper.inner_count % interval < self.steps

    @property
    def steps(self) -> int:
        """Number of iterations of an optimizer step."""
        return getattr(self.optim_wrapper, '_accumulative_counts', 1)

    def loss_scale(self, like: Tensor) -> Tensor:
        """The factor of the loss scaler (scalar), on the device of ``like``; 1 without one."""
        one = torch.ones((), device=like.device)
        return self.optim_wrapper.loss_scaler.scale(one) if self.may_skip else one

    def after_forward(self, loss: Tensor) -> None:
        """Read the scale for the backward pass of ``loss``."""
        self.scale = self.loss_scale(loss) if self.may_skip else None

    def scaled(self, value: Tensor) -> Tensor:
        """``value`` times the loss scaler's factor."""
        return value if self.scale is None else value * self.scale

    def share(self, loss: Tensor) -> Tensor:
        """A loss divided by the number of accumulated iterations."""
        return self.optim_wrapper.scale_loss(loss)

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass of :meth:`share` of a loss."""
        count = self.optim_wrapper.inner_count
        self.optim_wrapper.backward(self.share(loss))
        self.optim_wrapper._inner_count = count

    def end(self) -> bool:
        """Count the iteration, and return whether the optimizer step is due."""
        self.optim_wrapper._inner_count += 1
        return self.optim_wrapper.should_update()


def micro_batches(batch: Mapping | list[Mapping]) -> list[Mapping]:
    """The micro-batches of a task as a list, from one batch or a list of them."""
    return batch if isinstance(batch, list) else [batch]
