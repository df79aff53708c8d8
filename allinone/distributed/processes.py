"""Communication between the processes of a run in a training step."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
import torch.distributed as dist
from mmengine.device import get_device
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


class Alone:
    """A single process: sums and means are its own values.

    Attributes:
        many: Whether there are other processes.
    """

    many = False

    def send(
        self,
        sums: Sequence[Tensor] = (),
        means: Sequence[Tensor] = (),
        params: Sequence[nn.Parameter] = (),
        large: Tensor | None = None,
    ) -> None:
        """Begin to replace tensors by their sums or means over all processes.

        Do not use the tensors before :meth:`receive`. All processes send the same shapes in the
        same order.

        Args:
            sums: Tensors to sum.
            means: Tensors to average.
            params: Parameters whose ``.grad`` is averaged. A gradient that is None counts as zeros,
                and stays None if it is None in all processes.
            large: Contiguous tensor to average in place, without a copy.
        """

    def receive(self) -> None:
        """Wait for all messages of :meth:`send`."""

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over the processes; blocks."""
        return tensor

    def whole(self, sums: Tensor) -> Tensor:
        """Totals of sums over the elements of gradients that may be sharded over processes."""
        return sums

    def agreed(self, flag: Tensor) -> Tensor:
        """Whether a flag (scalar, bool) about possibly sharded gradients holds for all shards."""
        return flag

    def draw(
        self, generator: torch.Generator, elements: int, parts: int
    ) -> Iterator[tuple[slice, Tensor]]:
        """Random numbers for the elements of a flat gradient that this process holds.

        The number of an element does not depend on how the gradient is sharded.

        Args:
            generator: Generator in the same state in all processes, before and after.
            elements: Number of elements that this process holds.
            parts: Number of parts that are sampled one at a time, to limit memory.

        Yields:
            Slices of the elements, in order and without gaps, and their numbers, float32, uniform
            in [0, 1).
        """
        size = math.ceil(elements / parts)
        for start in range(0, elements, size):
            place = slice(start, min(start + size, elements))
            count = place.stop - place.start
            yield place, torch.rand(count, generator=generator, device=generator.device)


class Replicas(Alone):
    """Processes that each hold the full model and see different images.

    Messages overlap with the next task's computation. All tensors of one call except ``large`` form
    one flat message.

    Args:
        overlap: False: wait for each message at once, to measure the gain of overlapping.
    """

    many = True

    def __init__(self, overlap: bool = True):
        self.overlap = overlap
        self._messages: list[_Message] = []

    def send(
        self,
        sums: Sequence[Tensor] = (),
        means: Sequence[Tensor] = (),
        params: Sequence[nn.Parameter] = (),
        large: Tensor | None = None,
    ) -> None:
        message = _Message(list(sums), list(means), list(params), large)
        for tensor in (large, message.pack()):
            if tensor is not None:
                message.works.append(self.reduce(tensor))
        self._messages.append(message)

    def reduce(self, tensor: Tensor) -> dist.Work | None:
        """Sum a tensor over the processes in place; the caller waits for the result unless None."""
        return dist.all_reduce(tensor, async_op=self.overlap)

    def receive(self) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            for work in message.works:
                if work is not None:
                    work.wait()
            message.unpack(dist.get_world_size())

    def sum(self, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total


class Shards(Replicas):
    """Processes that each hold a shard of each parameter and of its gradient.

    Backward passes produce shards of the gradients' means, so only losses, statistics and the
    gradients of unsharded scalars are sent. Inner products of gradients are exact sums over the
    shards.

    Args:
        params: The parameters whose gradients balancers get, each sharded in contiguous rows, as
            ``fully_shard`` does.
    """

    def __init__(self, params: Sequence[nn.Parameter]):
        super().__init__()
        self._params = list(params)

    @cached_property
    def _spans(self) -> tuple[int, np.ndarray]:
        """Total number of elements, and ``[begin, end)`` of each shard of this process."""
        sizes = np.array([param.numel() for param in self._params])
        rows = [offsets_of(param)[0] * (param.numel() // len(param)) for param in self._params]
        starts = sizes.cumsum() - sizes + rows
        here = [local(param).numel() for param in self._params]
        return int(sizes.sum()), np.stack([starts, starts + here], 1)

    def send(
        self,
        sums: Sequence[Tensor] = (),
        means: Sequence[Tensor] = (),
        params: Sequence[nn.Parameter] = (),
        large: Tensor | None = None,
    ) -> None:
        super().send(sums, means, [param for param in params if not is_sharded(param)])

    def whole(self, sums: Tensor) -> Tensor:
        return self.sum(sums)

    def agreed(self, flag: Tensor) -> Tensor:
        least = flag.to(torch.uint8)
        dist.all_reduce(least, dist.ReduceOp.MIN)
        return least.bool()

    def draw(
        self, generator: torch.Generator, elements: int, parts: int
    ) -> Iterator[tuple[slice, Tensor]]:
        # Each process samples for all elements and selects those of its shards.
        total, spans = self._spans
        if (held := int(np.diff(spans).sum())) != elements:
            raise ValueError(f'{elements} elements of gradients are here, of parameters {held}')
        done = 0
        for place, numbers in super().draw(generator, total, parts):
            first = np.searchsorted(spans[:, 1], place.start, 'right')
            last = np.searchsorted(spans[:, 0], place.stop)
            reached = spans[first:last].clip(place.start, place.stop) - place.start
            mine = [numbers[start:stop] for start, stop in reached.tolist() if stop > start]
            if mine:
                own = torch.cat(mine)
                yield slice(done, done + len(own)), own
                done += len(own)


class Spread(Shards):
    """Processes that each hold a part of long rows, one part after the other.

    Args:
        elements: Number of elements of a row that this process holds.
    """

    def __init__(self, elements: int):
        super().__init__([])
        self._elements = elements

    @cached_property
    def _spans(self) -> tuple[int, np.ndarray]:
        sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=get_device())
        sizes[dist.get_rank()] = self._elements
        dist.all_reduce(sizes)
        ends = sizes.cumsum(0).tolist()
        end = ends[dist.get_rank()]
        return ends[-1], np.array([[end - self._elements, end]])


ALONE = Alone()
_holders: ContextVar[Alone] = ContextVar('holders', default=ALONE)


@contextmanager
def held_by(processes: Alone):
    """Context in which balancers get the gradients that this one of ``processes`` holds."""
    before = _holders.set(processes)
    try:
        yield
    finally:
        _holders.reset(before)


def holders() -> Alone:
    """The processes that hold the gradients of the current balancer call."""
    return _holders.get()


def is_sharded(tensor: object) -> 'TypeGuard[DTensor]':
    """Whether a tensor is a ``DTensor``; avoids the slow import of that class."""
    return hasattr(tensor, 'device_mesh')


def offsets_of(tensor: Tensor) -> list[int]:
    """Offsets of this process's shard in the full tensor."""
    assert is_sharded(tensor)
    return list(tensor.__create_chunk_list__()[0].offsets)


def local(tensor: Tensor) -> Tensor:
    """This process's shard of a tensor, sharing its memory; an unsharded tensor itself."""
    return tensor.to_local() if is_sharded(tensor) else tensor


@dataclass
class _Message:
    """A flat message: sums, whether each parameter has a gradient, means, gradients."""

    sums: list[Tensor]
    means: list[Tensor]
    params: list[nn.Parameter]
    large: Tensor | None
    works: list = field(default_factory=list)
    flat: Tensor | None = None

    def pack(self) -> Tensor | None:
        grads = [
            torch.zeros_like(param) if param.grad is None else param.grad for param in self.params
        ]
        parts = [*self.sums, *self.means, *grads]
        if not parts:
            return None
        present = torch.tensor([float(param.grad is not None) for param in self.params])
        parts.insert(len(self.sums), present.to(parts[0].device, non_blocking=True))
        self.flat = torch.cat([part.flatten() for part in parts])
        return self.flat

    def unpack(self, processes: int) -> None:
        if self.large is not None:
            self.large /= processes
        if self.flat is None:
            return
        tensors = [*self.means, *self.params]
        summed = [part.numel() for part in self.sums]
        first = sum(summed) + len(self.params)
        self.flat[first:] /= processes
        parts = self.flat.split([*summed, len(self.params), *(part.numel() for part in tensors)])
        sums, present, averaged = parts[: len(summed)], parts[len(summed)], parts[len(summed) + 1 :]
        # The host waits for the device only if a gradient is missing in this process.
        if any(param.grad is None for param in self.params):
            for param, there in zip(self.params, present.tolist()):
                if there and param.grad is None:
                    param.grad = torch.zeros_like(param)
        own = [*self.sums, *self.means, *(param.grad for param in self.params)]
        pairs = [(mine, part) for mine, part in zip(own, (*sums, *averaged)) if mine is not None]
        torch._foreach_copy_(
            [mine for mine, _ in pairs], [part.view(mine.shape) for mine, part in pairs]
        )
