"""Image stream to the model: decoding ahead, and batches of images of the same size."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from allinone.errors import DataError

WINDOW = 4  # batches to look ahead
WINDOW_BYTES = 2**28
PASS_PIXELS = 2**24

_END = object()


class InputImage(NamedTuple):
    """An input: its image, or the error from reading it.

    Attributes:
        index: Its index among the inputs.
        name: Its name in messages.
        image: BGR uint8 ``(H, W, 3)``.
        resized: The model's input.
        error: The error if there is no image.
    """

    index: int  # type: ignore[assignment]  # replaces the unused tuple.index
    name: str
    image: np.ndarray | None = None
    resized: np.ndarray | None = None
    error: DataError | None = None

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The image and the model's input, if there is no error."""
        assert self.image is not None and self.resized is not None
        return self.image, self.resized


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
    """One batch of the waiting images with the size of the first."""
    shape = _size(waiting[0])
    alike = [item for item in waiting if _size(item) == shape]
    return alike[: _most(waiting, batch_size)]


def _size(item: InputImage) -> tuple[int, ...]:
    return item.arrays()[1].shape


def _most(waiting: list[InputImage], batch_size: int) -> int:
    height, width = _size(waiting[0])[:2]
    return max(1, min(batch_size, PASS_PIXELS // (height * width)))


def _enough(waiting: list[InputImage], newest: int, batch_size: int) -> bool:
    return (
        len(_alike(waiting, batch_size)) == _most(waiting, batch_size)
        or newest - waiting[0].index + 1 >= WINDOW * batch_size
        or sum(item.arrays()[0].nbytes for item in waiting) >= WINDOW_BYTES
    )
