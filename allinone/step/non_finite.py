"""Non-finite check that keeps one task's NaN from the gradients of the others."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from .statistics import RunningStatistics, flatten


class FiniteGuard:
    """Drops a task's contribution to a step if its loss or gradient is NaN or infinite.

    The check is on the device: on CUDA the host does not wait for it. With a loss scaler only the
    loss is checked, because the scaler must see an overflow of the gradients to lower its scale.
    At a scale of 1 a non-finite gradient is no overflow, so gradients are checked as well.

    Args:
        backbone: The shared backbone.
        tasks: ``{name: sub-model}``.
        agreed: Whether a flag holds for all shards of sharded gradients.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Mapping[str, nn.Module],
        agreed: Callable[[Tensor], Tensor] = lambda flag: flag,
    ):
        self._agreed = agreed
        self._statistics = {
            name: RunningStatistics([backbone, task]) for name, task in tasks.items()
        }
        self._moving: list[tuple[dict[str, Tensor], str]] = []
        self._before: Tensor | None = None

    def before_forward(self, task: str) -> None:
        """Save the running statistics, which the task's forward pass updates in training."""
        self._moving = self._statistics[task].moving()
        self._before = flatten(self._buffers()) if self._moving else None

    def _buffers(self) -> list[Tensor]:
        return [buffers[name] for buffers, name in self._moving]

    def after_forward(self, loss: Tensor) -> None:
        """Restore the statistics if ``loss`` is non-finite and the backward pass comes later.

        Other tasks update the statistics before that backward pass, so a batch with a finite loss
        and a non-finite gradient stays in them. Tensors in the graph are replaced, not changed.
        """
        if self._before is None:
            return
        kept = torch.where(torch.isfinite(loss.detach()), flatten(self._buffers()), self._before)
        parts = kept.split([buffer.numel() for buffer in self._buffers()])
        for (buffers, name), part in zip(self._moving, parts):
            buffers[name] = part.clone().view_as(buffers[name])
        self._before = None

    def after_backward(
        self, loss: Tensor, grads: Sequence[Tensor], scale: Tensor | None = None
    ) -> Tensor:
        """Set ``grads`` to zero and restore the statistics if the contribution is non-finite.

        Args:
            loss: The task's loss (scalar).
            grads: Its gradients from this backward pass only; changed in place.
            scale: Factor of the loss scaler (scalar); None: no scaler.

        Returns:
            Whether the contribution is finite (scalar, bool).
        """
        finite = torch.isfinite(loss.detach())
        grads = [grad for grad in grads if grad.numel()]  # A shard may be empty.
        if grads:
            kept = _all_finite(grads)
            finite = finite & (kept if scale is None else kept | (scale > 1))
        finite = self._agreed(finite)
        keep_if(finite, grads)
        if self._before is not None:
            keep_if(finite, self._buffers(), self._before)
            self._before = None
        return finite


class KeptStatistics:
    """Running statistics of some modules, to restore after a pass that must not count.

    Args:
        modules: The modules.
    """

    def __init__(self, modules: Sequence[nn.Module]):
        self._statistics = RunningStatistics(modules)
        self._moving: list[tuple[dict[str, Tensor], str]] = []
        self._before: Tensor | None = None

    def save(self) -> None:
        """Save them before a forward pass."""
        self._moving = self._statistics.moving()
        self._before = flatten(self._buffers()) if self._moving else None

    def restore_unless(self, finite: Tensor) -> None:
        """Set them to the saved ones unless ``finite`` (scalar, bool) holds."""
        if self._before is not None:
            keep_if(finite, self._buffers(), self._before)

    def _buffers(self) -> list[Tensor]:
        return [buffers[name] for buffers, name in self._moving]


def _all_finite(tensors: Sequence[Tensor]) -> Tensor:
    """Whether every element is finite (scalar, bool)."""
    if tensors[0].device.type == 'cpu':
        # On CPU the loss scaler's check, a multiplication by 1, takes half the time of a norm.
        found = torch.zeros(1)
        torch._amp_foreach_non_finite_check_and_unscale_(list(tensors), found, torch.ones(1))
        return found[0] == 0
    return torch.isfinite(get_total_norm(tensors, float('inf')))


def keep_if(condition: Tensor, tensors: Sequence[Tensor], otherwise: Tensor | None = None) -> None:
    """Set ``tensors`` to ``otherwise`` (default 0) in place unless ``condition`` holds."""
    if not tensors or (condition.device.type == 'cpu' and condition):
        return
    flat = torch.where(condition, flatten(tensors), 0.0 if otherwise is None else otherwise)
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(
        list(tensors), [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]
    )
