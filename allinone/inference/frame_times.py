"""Times of the frames of a video, from the positions that its container gives."""

import math

BEGINS_ANEW = 1.0  # seconds back, from which positions of joined files count as beginning anew


class FrameTimes:
    """Seconds of each frame since the first one; they never decrease.

    OpenCV gives a position after each frame. Some decoders count positions from the second frame,
    or give none (0) for frames at the end, and the positions of joined files begin anew. A frame
    without a position follows the one before it at the mean rate.

    Args:
        rate: Mean number of frames per second.

    Attributes:
        drift: Largest difference in seconds between the time of a frame and ``frame / rate``.
    """

    def __init__(self, rate: float):
        self.rate, self.drift = rate, 0.0
        self._times: list[float] = []
        self._offset = 0.0

    def __getitem__(self, frame: int) -> float:
        return self._times[frame]

    def add(self, position: float) -> None:
        """Add the next frame.

        Args:
            position: Its position in the container in seconds; 0 or not finite if unknown.
        """
        time = self._next(position) if self._times else self._first(position)
        self.drift = max(self.drift, abs(time - len(self._times) / self.rate))
        self._times.append(time)

    def _first(self, position: float) -> float:
        self._offset = -position if 0 < position < math.inf else 0.0
        return 0.0

    def _next(self, position: float) -> float:
        last = self._times[-1]
        following = last + 1 / self.rate
        if not 0 < position < math.inf:
            return following
        time = position + self._offset
        if time < last - BEGINS_ANEW:
            self._offset = following - position
            return following
        return max(time, last)
