"""Images in batches of one size: order, bounds, and that reading is ahead of computing."""

import threading

import numpy as np
import pytest

from allinone.errors import DataError
from allinone.inference import streaming
from allinone.inference.streaming import InputImage, ModelInput, batches_of_a_size, read_ahead


def item(index, side):
    image = np.zeros((side, side, 3), np.uint8)
    return InputImage(index, str(index), image, ModelInput(image, ((side, side),), 0))


def batched(sides, size):
    return [
        [entry.index for entry in batch]
        for batch in batches_of_a_size((item(*pair) for pair in enumerate(sides)), size)
    ]


def test_one_size_makes_full_batches():
    assert batched([8] * 5, 2) == [[0, 1], [2, 3], [4]]


def test_alternating_sizes_make_full_batches():
    assert batched([8, 9] * 4, 4) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_the_first_that_waits_is_always_in_the_next_batch():
    sides = [8, 9, 10, 8, 8, 9, 8, 10, 10, 9] * 3
    left = set(range(len(sides)))
    for batch in batched(sides, 3):
        assert batch[0] == min(left)
        left -= set(batch)
    assert not left


def test_the_window_is_bounded():
    drawn = []

    def endless():
        for index in range(1000):
            drawn.append(index)
            yield item(index, 9 if index else 8)

    first = next(batches_of_a_size(endless(), 4))
    assert [entry.index for entry in first] == [0] and len(drawn) == streaming.WINDOW * 4


def test_large_images_make_small_batches(monkeypatch):
    monkeypatch.setattr(streaming, 'PASS_PIXELS', 3 * 64)
    assert batched([8] * 4, 4) == [[0, 1, 2], [3]]
    assert batched([20, 20], 4) == [[0], [1]]
    monkeypatch.setattr(streaming, 'WINDOW_BYTES', 2 * 3 * 64)
    assert batched([8, 9, 8], 4)[0] == [0]


def test_what_could_not_be_read_is_passed_on():
    broken = InputImage(1, 'b', error=DataError('broken'))
    found = list(batches_of_a_size([item(0, 8), broken, item(2, 8)], 2))
    assert sorted(entry.index for batch in found for entry in batch) == [0, 1, 2]
    assert [broken] in found


def test_reading_is_ahead_but_bounded():
    read, waiting = [], threading.Semaphore(0)

    def read_one(index, entry):
        read.append(entry)
        waiting.release()
        return entry

    found = read_ahead(iter('abcdefgh'), read_one, 3)
    assert next(found) == 'a'
    for _ in range(4):
        assert waiting.acquire(timeout=10), 'nothing is read ahead'
    assert read == list('abcd')
    assert ''.join(found) == 'bcdefgh'


def test_leaving_early_stops_the_reader():
    found = read_ahead(iter(range(100)), lambda index, entry: entry, 2)
    assert next(found) == 0
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('read')]


def test_errors_of_the_generator_come_through():
    def failing():
        yield 1
        raise RuntimeError('no more')

    found = read_ahead(failing(), lambda index, entry: entry, 4)
    assert next(found) == 1
    with pytest.raises(RuntimeError, match='no more'):
        next(found)
