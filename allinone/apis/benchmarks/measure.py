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


def time_ratio(taken: Sequence[float], reference: Sequence[float]) -> dict:
    """How long something takes against what alternates with it.

    What else a machine does only ever adds time, so the fastest of each kind tells a difference of
    a few percent where medians still differ from run to run by more than that.

    Args:
        taken: Seconds, one a round.
        reference: As many.

    Returns:
        ``time_ratio`` of the fastest of each; ``median_ratio`` and its ``median_interval`` (95 %)
        of the ratios round by round; ``seconds`` and ``reference_seconds``.
    """
    median, *interval = median_interval([a / b for a, b in zip(taken, reference, strict=True)])
    return dict(
        time_ratio=min(taken) / min(reference),
        median_ratio=median,
        median_interval=interval,
        seconds=list(taken),
        reference_seconds=list(reference),
    )


def median_cell(row: dict) -> str:
    """What :func:`time_ratio` says of all rounds, for a table."""
    low, high = row['median_interval']
    return f'{row["median_ratio"]:.3f} ({low:.3f} to {high:.3f})'


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
