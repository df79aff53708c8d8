"""Random numbers that follow from named parts, and states that are put back."""

import hashlib
import random
from collections.abc import Callable
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info


def seed_of(*parts) -> int:
    """A 64-bit seed that any change of any part changes."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), 'big')


def seed_all(*parts) -> None:
    """Seed ``random``, NumPy, OpenCV and torch on all devices from ``parts``."""
    _seed(torch.manual_seed, parts)


def _seed(seed_torch: Callable[[int], object], parts: tuple) -> None:
    seed = seed_of(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    cv2.setRNGSeed(seed % 2**31)
    seed_torch(seed)


def seed_host(*parts) -> None:
    """As :func:`seed_all`, but for devices."""
    _seed(torch.default_generator.manual_seed, parts)


@contextmanager
def state_kept():
    """Restore the states of ``random``, NumPy and torch (on the CPU) after what is inside.

    OpenCV's cannot be read; whatever depends on it is seeded before.

    A state is 5 KB, and NumPy takes long over it: once for a batch, not for each of its samples. In
    a loader's worker nothing draws between two samples, so nothing is restored there.
    """
    if get_worker_info() is not None:
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextmanager
def seeded(*parts):
    """:func:`seed_host` inside, and :func:`state_kept` after."""
    with state_kept():
        seed_host(*parts)
        yield
