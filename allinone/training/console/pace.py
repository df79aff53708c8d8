"""How long a training will still take, validations included."""

from collections.abc import Sequence


class Pace:
    """Seconds of steps and validations, of which the time left is estimated.

    Methods are given the time, in seconds from any origin. What comes after a step, such as saving
    a checkpoint, counts as a part of it.
    """

    def __init__(self) -> None:
        self._mark = 0.0
        self._steps = self._step_seconds = 0.0
        self._first = 0.0
        self._since = (0, 0.0)
        self._validations: list[float] = []

    def start(self, now: float) -> None:
        """A step or validation begins."""
        self._mark = now

    def step(self, now: float) -> None:
        """A step is done."""
        seconds, self._mark = now - self._mark, now
        self._steps += 1
        self._step_seconds += seconds
        if self._steps == 1:
            self._first = seconds
        self._since = (self._since[0] + 1, self._since[1] + seconds)

    def validation(self, now: float) -> float:
        """A validation is done; returns its seconds."""
        seconds, self._mark = now - self._mark, now
        self._validations.append(seconds)
        return seconds

    def recent(self) -> float:
        """Seconds a step since the last call."""
        (steps, seconds), self._since = self._since, (0, 0.0)
        return seconds / max(1, steps)

    def left(self, steps: int, validations: int) -> tuple[float, int]:
        """Seconds of what is left, and the number of validations that they do not count.

        They count no validation until the first one is done. The first step, in which memory is
        allocated and workers are started, is not taken for the time of the others.
        """
        measured = self._steps, self._step_seconds
        if self._steps > 1:
            measured = self._steps - 1, self._step_seconds - self._first
        seconds = steps * measured[1] / max(1, measured[0])
        if not self._validations:
            return seconds, validations
        return seconds + validations * sum(self._validations) / len(self._validations), 0


def validations_left(
    step: int, last: int, begin: int, milestones: Sequence[int], intervals: Sequence[int]
) -> int:
    """Number of validations after ``step`` done steps of ``last``.

    Args:
        step: Steps done; a validation after this one counts as done.
        last: Steps of the training, after which there is always a validation.
        begin: First step after which there may be one.
        milestones: Step from which each of ``intervals`` holds, ascending, the first 0.
        intervals: Steps between validations.
    """
    count = 0
    ends = [*milestones[1:], last]
    for start, end, interval in zip(milestones, ends, intervals, strict=True):
        start, end = max(start, step + 1, begin), min(end, last)
        if start < end:
            count += (end - 1) // interval - (start - 1) // interval
    return count + (step < last and last >= begin)


def duration(seconds: float) -> str:
    """``4:05`` (minutes), ``2:04:05`` or ``3 d 02:04:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f'{days} d {hours:02}:{minutes:02}:{rest:02}'
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'
