"""Reading frames of video files and cameras, and writing drawn frames to a video."""

import math
import os
import os.path as osp
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress

import cv2
import numpy as np

from allinone.errors import DataError
from allinone.io.atomic import WriteError
from allinone.visualization.annotator import Annotator
from allinone.visualization.legend import BACKGROUND

from .frame_times import FrameTimes

SUFFIXES = (
    *('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm'),
    *('.mpg', '.mpeg', '.wmv', '.flv', '.ts', '.3gp'),
)
# These store the number of frames; for others OpenCV derives it from the longest stream.
COUNTED = ('.mp4', '.m4v', '.mov', '.avi', '.3gp')
CODEC = 'mp4v'  # the only one that every build of OpenCV encodes
USUAL_RATE = 25.0
SILENT = 0
FULL = 2**24  # free bytes below which a disk counts as full
# Errors report damage instead of ffmpeg's log, whose level is read only once.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')


def is_video(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def is_camera(source: str) -> bool:
    """Whether ``source`` is the number of a camera, not the name of a file."""
    return source.isdecimal() and not osp.exists(source)


class Video:
    """A video file or a camera; frames are rotated according to its metadata.

    Args:
        source: A file, or the number of a camera.

    Attributes:
        rate: Mean frames per second; 25 if the file does not store it.
        count: Number of frames according to the file; None for a camera or if not stored.
        read: Number of frames read.
        times: Seconds of the frames read since the first one: for a file according to its
            container, for a camera when they were read.

    Raises:
        DataError: If it cannot be opened.
    """

    def __init__(self, source: str):
        self.source, self.read = source, 0
        if not is_camera(source) and not osp.isfile(source):
            raise DataError(f'{source}: no such video')
        if not is_camera(source) and not osp.getsize(source):
            raise DataError(f'{source} is an empty file')
        self._capture = _open(source)
        if not self._capture.isOpened():
            raise DataError(
                f'camera {source} cannot be opened'
                if is_camera(source)
                else f'{source} cannot be opened as a video: it is damaged or cut short, or of a '
                'format that OpenCV does not read'
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and 0 < rate <= 1000 else USUAL_RATE
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 and not is_camera(source) else None
        self.times = FrameTimes(self.rate)

    def frames(self) -> Iterator[np.ndarray]:
        """Yield BGR uint8 frames ``(H, W, 3)`` up to the end or the first damaged one."""
        try:
            while True:
                ok, frame = self._capture.read()
                if not ok:
                    return
                self.read += 1
                self.times.add(self._position())
                yield frame
        finally:
            self._capture.release()

    def _position(self) -> float:
        """Seconds of the frame just read; from an unknown begin on."""
        if is_camera(self.source):
            return time.monotonic()
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def damage(self) -> DataError | None:
        """After the last frame: an error if frames are missing.

        One missing frame is tolerated, or 2 seconds or 5 % (the larger) if a container stores only
        a duration, which may be that of its sound.
        """
        if self.read == 0:
            return DataError(f'{self.source} has no frame that can be read')
        if self.count is None:
            return None
        counted = self.source.lower().endswith(COUNTED)
        if self.read >= self.count - (1 if counted else max(2 * self.rate, 0.05 * self.count)):
            return None
        return DataError(
            f'{self.source} is damaged: {self.read} of {self.count} frames can be read; '
            'these are in the results'
        )


def _open(source: str) -> cv2.VideoCapture:
    level = cv2.setLogLevel(SILENT)
    try:
        return cv2.VideoCapture(int(source) if is_camera(source) else source)
    finally:
        cv2.setLogLevel(level)


class VideoWriter:
    """Writes drawn frames to an MP4 file, which appears only when complete.

    All frames of a video have the same size. The legend below the image may vary in height, so
    frames have room for one line more than the first; the rest is cropped.

    Args:
        path: The file; ends with ``.mp4``.
        rate: Frames per second.
    """

    def __init__(self, path: str, rate: float):
        self.path, self.rate = path, rate
        self._unfinished = f'{osp.splitext(path)[0]}.unfinished.mp4'
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0
        self._last: np.ndarray | None = None

    def write(self, drawing: np.ndarray, time: float | None = None) -> None:
        """Add a frame, uint8 RGB ``(H, W, 3)``.

        Args:
            drawing: The frame.
            time: Presentation time in seconds. The previous frame is repeated until then; a frame
                that is too early is dropped. Default: consecutive frames.
        """
        if self._writer is None:
            self._writer = self._open(drawing)
        width, height = self._size
        padded = np.full((height, width, 3), BACKGROUND, np.uint8)
        part = drawing[:height, :width]
        padded[: len(part), : part.shape[1]] = part
        frame = cv2.cvtColor(padded, cv2.COLOR_RGB2BGR)
        due = self._written if time is None else round(time * self.rate)
        while self._written <= due:
            repeated = self._last if self._written < due and self._written else None
            self._writer.write(frame if repeated is None else repeated)
            self._written += 1
        self._last = frame

    def _open(self, drawing: np.ndarray) -> cv2.VideoWriter:
        height, width = drawing.shape[:2]
        height += Annotator(drawing[:1, :1], like=(height, width)).label_height
        # Encoders require even sides.
        self._size = width + width % 2, height + height % 2
        os.makedirs(osp.dirname(osp.abspath(self.path)), exist_ok=True)
        writer = cv2.VideoWriter(
            self._unfinished, cv2.VideoWriter.fourcc(*CODEC), self.rate, self._size
        )
        if not writer.isOpened():
            raise DataError(
                f'{self.path} cannot be encoded: OpenCV has no {CODEC} here for {self._size[0]} x '
                f'{self._size[1]} at {self.rate:g} frames a second'
            )
        return writer

    def _require_complete(self) -> None:
        """Raise an error if frames are missing, because OpenCV does not report failed writes."""
        capture = _open(self._unfinished)
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if count >= self._written:
            return
        free = shutil.disk_usage(osp.dirname(self._unfinished) or '.').free
        kind = WriteError if free < FULL else DataError
        raise kind(
            f'{self.path} cannot be written: {count} of {self._written} frames are in the file, '
            f'and {free:,} bytes are free; make room'
        )

    def __enter__(self) -> 'VideoWriter':
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Rename the file into place; after an error or without frames, there is no file.

        Raises:
            DataError: If the file lacks frames.
            WriteError: If it does because the disk is full.
        """
        if self._writer is None:
            return
        self._writer.release()
        try:
            if kind is None:
                self._require_complete()
                os.replace(self._unfinished, self.path)
        finally:
            with suppress(FileNotFoundError):
                os.remove(self._unfinished)
