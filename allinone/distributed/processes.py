"""What the processes of a run tell one another in a training step."""

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
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


class Alone:
    """One process: sums and means are what it has itself.

    Attributes:
        many: Whether there are others.
    """

    many = False

    def send(
        self,
        sums: Sequence[Tensor] = (),
        means: Sequence[Tensor] = (),
        params: Sequence[nn.Parameter] = (),
        large: Tensor | None = None,
    ) -> None:
        """Begin to make tensors the sums, or the means, of what all processes sent.

        They must not be used before :meth:`receive`. All processes send the same shapes in the same
        order.

        Args:
            sums: To be added up.
            means: To be averaged.
            params: Whose ``.grad`` is to be averaged. A gradient that is None here counts as zeros,
                and stays None where it is None in all processes.
            large: To be averaged where it is, without a copy; contiguous.
        """

    def receive(self) -> None:
        """Wait for all that was sent."""

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, at once."""
        return tensor

    def whole(self, sums: Tensor) -> Tensor:
        """What sums over the elements of gradients are, where a process may hold some of them."""
        return sums

    def agreed(self, flag: Tensor) -> Tensor:
        """Whether a flag about gradients (scalar, bool) holds for all elements of them."""
        return flag

    def draw(
        self, generator: torch.Generator, elements: int, parts: int
    ) -> Iterator[tuple[slice, Tensor]]:
        """Random numbers for the elements of a flat gradient that are here.

        An element's number is the same however the gradient is spread over processes.

        Args:
            generator: In the same state in all processes, before and after.
            elements: How many are here.
            parts: To make them in, each by itself, for they take memory.

        Yields:
            Which elements, in order and without gaps, and their numbers, float32, uniform in
            [0, 1).
        """
        size = math.ceil(elements / parts)
        for start in range(0, elements, size):
            place = slice(start, min(start + size, elements))
            count = place.stop - place.start
            yield place, torch.rand(count, generator=generator, device=generator.device)


class Replicas(Alone):
    """Processes that hold the whole model each, and see different images.

    What is sent travels while the next task computes. All of one call but ``large`` is one flat
    message.

    Args:
        overlap: False: wait for each message at once, to measure what is gained.
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
        """Sum a tensor over the processes where it is; to be waited for unless None."""
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
    """Processes that hold a part of each parameter, and so of each gradient.

    Backward passes leave parts of the gradients' means, so losses, statistics and the gradients of
    single numbers, which have no parts, are all that is sent. Inner products of gradients are sums
    over the parts, exactly.

    Args:
        params: The parameters of which balancers get gradients, each in rows that follow one
            another in memory, as ``fully_shard`` spreads them.
    """

    def __init__(self, params: Sequence[nn.Parameter]):
        super().__init__()
        self._params = list(params)

    @cached_property
    def _spans(self) -> tuple[int, np.ndarray]:
        """How many elements there are, and where each part that is here begins and ends."""
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
        # Each process draws for all, and takes what is for its own.
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


ALONE = Alone()
_holders: ContextVar[Alone] = ContextVar('holders', default=ALONE)


@contextmanager
def held_by(processes: Alone):
    """Inside, the gradients that balancers get are what this one of ``processes`` holds."""
    before = _holders.set(processes)
    try:
        yield
    finally:
        _holders.reset(before)


def holders() -> Alone:
    """Those who hold the gradients that a balancer was given."""
    return _holders.get()


def is_sharded(tensor: object) -> 'TypeGuard[DTensor]':
    """Whether it is a ``DTensor``, whose import takes long for those who have none."""
    return hasattr(tensor, 'device_mesh')


def offsets_of(tensor: Tensor) -> list[int]:
    """Where the part of a sharded tensor that is here begins in the whole one."""
    assert is_sharded(tensor)
    return list(tensor.__create_chunk_list__()[0].offsets)


def local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that is here, sharing its memory; others are that already."""
    return tensor.to_local() if is_sharded(tensor) else tensor


@dataclass
class _Message:
    """Laid out as: sums, for each parameter whether it has a gradient, means, gradients."""

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
        # The host asks the device only where a gradient is missing here.
        if any(param.grad is None for param in self.params):
            for param, there in zip(self.params, present.tolist()):
                if there and param.grad is None:
                    param.grad = torch.zeros_like(param)
        own = [*self.sums, *self.means, *(param.grad for param in self.params)]
        pairs = [(mine, part) for mine, part in zip(own, (*sums, *averaged)) if mine is not None]
        torch._foreach_copy_(
            [mine for mine, _ in pairs], [part.view(mine.shape) for mine, part in pairs]
        )
