"""Setting of malloc that keeps the memory freed by a training step for the next step."""

import ctypes
import os
import platform

# Of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
_SETTINGS = ('MALLOC_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep freed memory instead of returning it to the kernel.

    By default malloc maps each block above a threshold (128 KiB to 32 MiB, adaptive) from the
    kernel and unmaps it when freed. A training step on CPU frees hundreds of such blocks, so the
    next step has a page fault for every page. With this setting the process keeps the memory of its
    largest step. It gains nothing on CUDA, where activations are in device memory.

    Returns:
        Whether the setting was applied: False if environment variables configure malloc, or with
        another C library. Source: mallopt(3).
    """
    if platform.libc_ver()[0] != 'glibc' or any(key.startswith(_SETTINGS) for key in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
