"""Memory that a training step frees stays with the process, for the next step."""

import ctypes
import os
import platform

# Of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
_SETTINGS = ('MALLOC_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep what is freed instead of handing it back to the kernel.

    By default each block of more than a threshold (128 KiB to 32 MiB, it adapts) is mapped from
    the kernel and unmapped when freed. A training step on CPU frees hundreds of such blocks, so
    that the next one gets every page anew, at a page fault each. With this, the process keeps the
    memory of its largest step. On CUDA activations are elsewhere, and nothing is gained.

    Returns:
        Whether it was set: not if the user has set malloc up by environment variables, nor with
        another C library. Source: mallopt(3).
    """
    if platform.libc_ver()[0] != 'glibc' or any(key.startswith(_SETTINGS) for key in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
