"""Seeds computed from named parts, and restoring of generator states."""

import hashlib
import random
from collections.abc import Callable
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info


def seed_of(*parts) -> int:
    """A 64-bit seed, a hash of ``parts``."""
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
    """Seed as :func:`seed_all` does, except torch's generators on devices."""
    _seed(torch.default_generator.manual_seed, parts)


@contextmanager
def state_kept():
    """Context that restores the states of ``random``, NumPy and torch (on the CPU) at its end.

    OpenCV's state cannot be read, so code that depends on it seeds it before.

    A state has 5 KB, and NumPy is slow to copy it, so use this once per batch, not per sample. In a
    loader's worker no code samples between two samples of a batch, so nothing is restored there.
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
    """Context with :func:`seed_host` inside :func:`state_kept`."""
    with state_kept():
        seed_host(*parts)
        yield
