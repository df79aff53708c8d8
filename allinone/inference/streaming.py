"""Images on their way to the model: decoded ahead of it, and put into batches of one size."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from allinone.errors import DataError

WINDOW = 4  # batches
WINDOW_BYTES = 2**28
PASS_PIXELS = 2**24

_END = object()


class InputImage(NamedTuple):
    """An input that was read, or why it was not.

    Attributes:
        index: Its place among the inputs.
        name: For messages.
        image: BGR uint8 ``(H, W, 3)``.
        resized: What the model gets of it.
        error: Where there is no image.
    """

    index: int  # type: ignore[assignment]  # nobody asks the tuple for an index
    name: str
    image: np.ndarray | None = None
    resized: np.ndarray | None = None
    error: DataError | None = None

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The image and what the model gets of it, where there is no error."""
        assert self.image is not None and self.resized is not None
        return self.image, self.resized


def read_ahead(
    entries: Iterable, read: Callable[[int, object], InputImage], ahead: int
) -> Generator[InputImage, None, None]:
    """``read(index, entry)`` of each entry in order, up to ``ahead`` of them in advance.

    One thread draws the entries and reads them, so a generator may decode, too.
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
    """Batches of images that are equal in size as the model gets them.

    Padding to a common size would change what convolutions see at the border and what is pooled
    over the image, so predictions would depend on the neighbours. Instead, up to 4 batches of
    images are looked ahead for others of the size of the first, so sizes that alternate make full
    batches. The first that waits is always in the next batch, so that those that follow it are soon
    free to be given out in order.

    A batch has at most ``batch_size`` images, and if more than one, at most 2^24 pixels. What
    waits is limited to 256 MiB. One that could not be read is a batch of its own.
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
    """Those of the size of the first, as many as make a batch."""
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
