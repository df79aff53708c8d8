"""Worker processes of the loaders: none outlives the run, none holds it up for ever."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class Late(BaseException):
    """A deadline passed. No ``Exception``: the interrupted code might take that for its own."""


@contextmanager
def deadline(seconds: float):
    """Raise :class:`Late` if what is inside takes longer; 0 or outside the main thread: never.

    Nothing slower than a system call that cannot be interrupted escapes it.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(signum, frame):
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def held_back():
    """Let new workers begin with SIGTERM blocked: one that comes before they can choose kills."""
    if sys.platform != 'linux':
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(init: Callable[[int], None] | None, worker_id: int) -> None:
    """In a new worker: end with the parent, and leave Ctrl-C and SIGTERM to it.

    PyTorch's workers look for their parent between two samples; one that hangs within a sample
    would outlive a killed run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == 'linux':
        parent = multiprocessing.parent_process()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        assert parent is not None
        if not parent.is_alive():
            os._exit(1)  # It was gone before.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(parent.pid,), daemon=True).start()
    if init is not None:
        init(worker_id)


def _obey(parent: int) -> None:
    """End at a SIGTERM of the parent, and pass over all others.

    Schedulers send it to a whole group, of which the parent needs its workers to come to the end
    of a step. Ignored, it would not end a hanging worker, for which the parent waits when it ends.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def workers_of(iterator: Iterator | None) -> list[multiprocessing.Process]:
    return list(getattr(iterator, '_workers', ()))


def death(worker: multiprocessing.Process) -> str:
    """How a worker ended, in words."""
    code = worker.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        cause = ' (so does the kernel when memory runs out)' if name == 'SIGKILL' else ''
        return f'worker {worker.pid} was killed by {name}{cause}'
    return f'worker {worker.pid} ended with status {code}'
