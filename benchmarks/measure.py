"""Timing, memory and configs shared by all benchmarks."""

import copy
import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from scipy.stats import binom

ENDLESS = 1_000_000_000
FEWEST_FOR_INTERVAL = 6


def device() -> torch.device:
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def seconds(call: Callable[[], object]) -> float:
    """Seconds of ``call()``, including its work on the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and its 95 % confidence interval from order statistics.

    For fewer than 6 values the interval is their range, with a lower confidence.
    """
    ordered = sorted(values)
    rank = max(int(binom.ppf(0.025, len(ordered), 0.5)), 1)
    return statistics.median(ordered), ordered[rank - 1], ordered[-rank]


def at_most(limit: float, low: float, high: float, values: int) -> bool | None:
    """Whether a median with interval ``[low, high]`` is at most ``limit``.

    None: the interval contains the limit, or there are too few ``values`` for 95 %.
    """
    if values < FEWEST_FOR_INTERVAL or low <= limit < high:
        return None
    return high <= limit


def verdict(holds: bool | None) -> str:
    return {True: 'yes', False: 'no', None: 'undecided by these timings'}[holds]


class OwnTime:
    """Seconds spent in some calls, excluding others that they make.

    A step of seconds varies by more than the milliseconds that a method adds; timed alone, a few
    steps measure them well. It is of no use on a GPU, where calls do not wait. As a context it
    removes its counters at the end.
    """

    def __init__(self):
        self.spent, self._inside = 0.0, False
        self._undo = ExitStack()

    def __enter__(self) -> 'OwnTime':
        return self

    def __exit__(self, *error) -> None:
        self._undo.close()

    def within(self, owner: object, name: str) -> None:
        """Count ``owner.name`` from now on; nested calls count once."""
        call = getattr(owner, name)

        def counted(*args, **kwargs):
            if self._inside:
                return call(*args, **kwargs)
            self._inside, start = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.spent += time.perf_counter() - start
                self._inside = False

        self._replace(owner, name, counted)

    def without(self, owner: object, name: str) -> None:
        """Exclude ``owner.name`` if a counted call makes it."""
        call = getattr(owner, name)

        def left_out(*args, **kwargs):
            if not self._inside:
                return call(*args, **kwargs)
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.spent -= time.perf_counter() - start

        self._replace(owner, name, left_out)

    def _replace(self, owner: object, name: str, call: Callable) -> None:
        self._undo.enter_context(patch.object(owner, name, call))

    def take(self) -> float:
        """Return the seconds since the last :meth:`take`."""
        found, self.spent = self.spent, 0.0
        return found


def time_ratio(
    taken: Sequence[tuple[float, float]], reference: Sequence[tuple[float, float]]
) -> dict:
    """Compare the times of steps with those of reference steps that alternate with them.

    Args:
        taken: Pairs of seconds of the step and own time in it (see :class:`OwnTime`), per round.
        reference: The same of the reference steps.

    Returns:
        ``whole_ratio``, the median of the rounds' ratios, with its ``whole_interval``; ``own_s``,
        the difference of the medians of own time in seconds; and ``time_ratio``: 1 plus ``own_s``
        over the median reference step. On a GPU it is ``whole_ratio``.
    """
    whole, *interval = median_interval(
        [one / other for (one, _), (other, _) in zip(taken, reference, strict=True)]
    )
    own = _median_own(taken) - _median_own(reference)
    step = statistics.median(step for step, _ in reference)
    ratio = 1 + own / step if device().type == 'cpu' else whole
    return dict(time_ratio=ratio, own_s=own, whole_ratio=whole, whole_interval=interval)


def _median_own(steps: Sequence[tuple[float, float]]) -> float:
    return statistics.median(own for _, own in steps)


def whole_cell(row: dict) -> str:
    """Table cell with the ratio of full steps from :func:`time_ratio`."""
    low, high = row['whole_interval']
    return f'{row["whole_ratio"]:.3f} ({low:.3f} to {high:.3f})'


def interval_name(rounds: int) -> str:
    """Name of the interval of :func:`median_interval`, for the head of a table."""
    return 'range' if rounds < FEWEST_FOR_INTERVAL else '95 % interval'


def training_only(cfg: ConfigDict, work_dir: str, **changes) -> ConfigDict:
    """A copy of a config without validation, test, messages and periodic checkpoints."""
    cfg = copy.deepcopy(cfg)
    for stage in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg.pop(f'{stage}_{part}', None)
    cfg.merge_from_dict(
        {
            'work_dir': work_dir,
            'log_level': 'WARNING',
            'train_cfg.max_iters': ENDLESS,
            'default_hooks.checkpoint.interval': ENDLESS,
            'default_hooks.checkpoint.save_best': None,
            **changes,
        }
    )
    return cfg


def peak_memory(call: Callable[[], object], on: torch.device) -> int:
    """Peak bytes of tensors during ``call()`` beyond those allocated before.

    On CPU torch's profiler records every allocation and release, including those inside an
    operator; the peak of their running sum is returned.
    """
    if on.type == 'cuda':
        torch.cuda.synchronize(on)
        torch.cuda.reset_peak_memory_stats(on)
        before = torch.cuda.memory_allocated(on)
        call()
        torch.cuda.synchronize(on)
        return torch.cuda.max_memory_allocated(on) - before
    # Otherwise the profiler prints a warning that there is no GPU.
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
    """Context without mmengine's list of every parameter's learning rate."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
