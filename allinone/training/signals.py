"""Stopping between two steps when the scheduler or the user asks to."""

import os
import signal
import threading

import torch
from mmengine.dist import all_reduce, get_world_size

STOPPING = (signal.SIGTERM, signal.SIGINT)
# Processes compare notes on every so manieth step, since each comparison waits for the device.
AGREE_EVERY = 10


class Stopped(BaseException):
    """The run was asked to stop by a signal, and has saved its state if it had made a step.

    No ``Exception``: what it interrupts would take it for a failure of its own.

    Attributes:
        signum: The signal; the tools exit with 128 + signum.
    """

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum = signum


class StopSignals:
    """Within ``with``, SIGTERM and the first SIGINT ask the loop to stop; a second SIGINT does.

    Outside a loop, with nothing to save (:attr:`deferring` is False), they stop at once. Handlers
    can be set in the main thread only; in another this does nothing.

    Attributes:
        received: The first signal; 0 if there was none.
        deferring: Whether steps are being made, between which :meth:`agreed` is looked at.
    """

    def __init__(self) -> None:
        self.received = 0
        self.deferring = False
        self._interrupts = 0
        self._before: dict = {}

    def __enter__(self):
        self.received, self.deferring, self._interrupts = 0, False, 0
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in STOPPING}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, signum: int, frame) -> None:
        self._interrupts += signum == signal.SIGINT
        if self._interrupts > 1:
            # Not an exception: whatever is in a handler's way, it ends.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        first, self.received = not self.received, self.received or signum
        if not self.deferring:
            raise Stopped(signum, 'stopped before the first step; nothing was to be saved')
        if first:
            # Past the log, whose lock the interrupted code may hold.
            name = signal.Signals(signum).name
            words = f'{name}: finishing the step, then saving; a second SIGINT stops at once\n'
            os.write(2, words.encode())

    def agreed(self, step: int, since: int) -> int:
        """The signal that all processes stop for after ``step`` steps; 0: none.

        Args:
            step: Number of steps made.
            since: How many of them the last optimizer step was of.
        """
        if get_world_size() == 1:
            return self.received
        if step % AGREE_EVERY >= since:
            return 0
        seen = torch.tensor(self.received)
        all_reduce(seen, 'max')
        return int(seen)
