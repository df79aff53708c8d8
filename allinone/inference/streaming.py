"""Image stream to the model: decoding ahead, and batches of images of the same size."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from allinone.errors import DataError

from .sources import Source

WINDOW = 4  # batches to look ahead
WINDOW_BYTES = 2**28
PASS_PIXELS = 2**24

_END = object()


class ModelInput(NamedTuple):
    """What the model takes of an image.

    Attributes:
        content: As the mode of inference makes it.
        sizes: ``(H, W)`` of each array in it. Images with the same sizes may share a pass.
        nbytes: Memory that it takes beside the image.
    """

    content: Any
    sizes: tuple[tuple[int, ...], ...]
    nbytes: int


class InputImage(NamedTuple):
    """An input: its image, or the error from reading it.

    Attributes:
        index: Its index among the inputs.
        name: Its name in messages.
        image: BGR uint8 ``(H, W, 3)``.
        prepared: The model's input.
        error: The error if there is no image.
        source: What it was read from, where that can be read again.
    """

    index: int  # type: ignore[assignment]  # replaces the unused tuple.index
    name: str
    image: np.ndarray | None = None
    prepared: ModelInput | None = None
    error: DataError | None = None
    source: Source | None = None

    def content(self) -> tuple[np.ndarray, ModelInput]:
        """The image and the model's input, if there is no error."""
        assert self.image is not None and self.prepared is not None
        return self.image, self.prepared


def read_ahead(
    entries: Iterable, read: Callable[[int, object], InputImage], ahead: int
) -> Generator[InputImage, None, None]:
    """Yield ``read(index, entry)`` of each entry in order, reading up to ``ahead`` in advance.

    One thread iterates over the entries and reads them, so a generator may decode, too.
    """
    numbered = iter(enumerate(entries))

    def step():
        entry = next(numbered, _END)
        return _END if entry is _END else read(*entry)

    with ThreadPoolExecutor(1, 'read') as pool:
        steps = deque(pool.submit(step) for _ in range(ahead))
        try:
            while (item := steps.popleft().result()) is not _END:
                steps.append(pool.submit(step))
                yield item
        finally:
            for future in steps:
                future.cancel()


def batches_of_a_size(items: Iterable[InputImage], batch_size: int) -> Iterator[list[InputImage]]:
    """Batches of images whose model inputs have the same size.

    Padding to a common size would change convolutions at the border and pooling over the image, so
    predictions would depend on the other images. Instead, a lookahead of up to 4 batches finds
    images of the size of the first one, so alternating sizes make full batches. The next batch
    always contains the oldest waiting image, so results soon follow in order.

    A batch has at most ``batch_size`` images, and if more than one, at most 2^24 pixels. Waiting
    images take at most 256 MiB. An input that could not be read is a separate batch.
    """
    waiting: list[InputImage] = []
    source, newest = iter(items), -1
    while True:
        while not waiting or not _enough(waiting, newest, batch_size):
            item = next(source, None)
            if item is None:
                break
            newest = item.index
            if item.error is None:
                waiting.append(item)
            else:
                yield [item]
        if not waiting:
            return
        batch = _alike(waiting, batch_size)
        chosen = {item.index for item in batch}
        waiting = [item for item in waiting if item.index not in chosen]
        yield batch


def _alike(waiting: list[InputImage], batch_size: int) -> list[InputImage]:
    """One batch of the waiting images with the sizes of the first."""
    sizes = _sizes(waiting[0])
    alike = [item for item in waiting if _sizes(item) == sizes]
    return alike[: _most(waiting, batch_size)]


def _sizes(item: InputImage) -> tuple[tuple[int, ...], ...]:
    return item.content()[1].sizes


def _most(waiting: list[InputImage], batch_size: int) -> int:
    largest = max(math.prod(size) for size in _sizes(waiting[0]))
    return max(1, min(batch_size, PASS_PIXELS // largest))


def _enough(waiting: list[InputImage], newest: int, batch_size: int) -> bool:
    return (
        len(_alike(waiting, batch_size)) == _most(waiting, batch_size)
        or newest - waiting[0].index + 1 >= WINDOW * batch_size
        or sum(map(_bytes, waiting)) >= WINDOW_BYTES
    )


def _bytes(item: InputImage) -> int:
    image, prepared = item.content()
    return image.nbytes + prepared.nbytes
