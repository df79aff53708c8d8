"""Batches, clock and memory of all benchmarks."""

import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager

import torch
from mmengine.logging import MMLogger
from scipy.stats import binom


def device() -> torch.device:
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def seconds(call: Callable[[], object]) -> float:
    """How long ``call()`` takes, with what it started on the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and its 95 % confidence interval from order statistics.

    Of fewer than 6 values that is their range, and promises less.
    """
    ordered = sorted(values)
    rank = max(int(binom.ppf(0.025, len(ordered), 0.5)), 1)
    return statistics.median(ordered), ordered[rank - 1], ordered[-rank]


class OwnTime:
    """Seconds spent in some calls, but not in others that these make.

    A step of seconds varies by more than what a method adds to it, milliseconds; those alone are
    timed well enough in a few steps. On a GPU, where calls do not wait, it tells nothing.
    """

    def __init__(self):
        self.seconds, self._inside = 0.0, False

    def within(self, owner: object, name: str) -> None:
        """Count ``owner.name`` from now on; calls in calls once."""
        call = getattr(owner, name)

        def counted(*args, **kwargs):
            if self._inside:
                return call(*args, **kwargs)
            self._inside, start = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start
                self._inside = False

        setattr(owner, name, counted)

    def without(self, owner: object, name: str) -> None:
        """Leave ``owner.name`` out where a counted call makes it."""
        call = getattr(owner, name)

        def left_out(*args, **kwargs):
            if not self._inside:
                return call(*args, **kwargs)
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds -= time.perf_counter() - start

        setattr(owner, name, left_out)

    def take(self) -> float:
        """The seconds since the last time."""
        found, self.seconds = self.seconds, 0.0
        return found


def time_ratio(
    taken: Sequence[tuple[float, float]], reference: Sequence[tuple[float, float]]
) -> dict:
    """How long steps take against others that alternate with them.

    Args:
        taken: Seconds of the step, and of them its own (see :class:`OwnTime`); one pair a round.
        reference: As many of the other steps.

    Returns:
        ``whole_ratio``, the median of the ratios round by round, with its ``interval`` (95 %);
        ``own_s``, by how many seconds the medians of their own time differ, and ``time_ratio``: 1
        and that, as a share of the median reference step. On a GPU it is ``whole_ratio``.
    """
    whole, *interval = median_interval(
        [one / other for (one, _), (other, _) in zip(taken, reference, strict=True)]
    )
    own = statistics.median(own for _, own in taken) - statistics.median(
        own for _, own in reference
    )
    step = statistics.median(seconds for seconds, _ in reference)
    ratio = whole if torch.cuda.is_available() else 1 + own / step
    return dict(time_ratio=ratio, own_s=own, whole_ratio=whole, interval=interval)


def _median_own(steps: Sequence[tuple[float, float]]) -> float:
    return statistics.median(own for _, own in steps)


def whole_cell(row: dict) -> str:
    """What :func:`time_ratio` says of whole steps, for a table."""
    low, high = row['interval']
    return f'{row["whole_ratio"]:.3f} ({low:.3f} to {high:.3f})'


def peak_memory(call: Callable[[], object], on: torch.device) -> int:
    """Bytes of tensors by which ``call()`` at its peak exceeds what was there before.

    On CPU every allocation and release of torch's allocator is recorded by its profiler, also those
    inside an operator; what was there before and is released counts as still there.
    """
    if on.type == 'cuda':
        torch.cuda.synchronize(on)
        torch.cuda.reset_peak_memory_stats(on)
        before = torch.cuda.memory_allocated(on)
        call()
        torch.cuda.synchronize(on)
        return torch.cuda.max_memory_allocated(on) - before
    # Or the profiler reports in capitals that there is no GPU.
    os.environ.setdefault('KINETO_LOG_LEVEL', '5')
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        call()
    events = [event for event in profile.kineto_results.events() if event.name() == '[memory]']
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@contextmanager
def quiet():
    """Leave out mmengine's list of every parameter's learning rate."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
