"""Times of video frames: those of the container, whatever its decoder says of the first ones."""

import math
from collections import namedtuple

import cv2
import numpy as np
import pytest
from conftest import files_of_at_most
from video_files import starting_late, with_durations, with_milliseconds, write_video

from allinone.errors import DataError
from allinone.inference import video as videos
from allinone.inference.frame_times import FrameTimes
from allinone.inference.video import Video, VideoWriter
from allinone.io.atomic import WriteError


def times_of(path) -> list[float]:
    video = Video(str(path))
    number = len(list(video.frames()))
    return [video.times[frame] for frame in range(number)]


def test_times_of_a_variable_frame_rate(tmp_path):
    path = with_durations(write_video(tmp_path / 'a.mp4', 6), [1, 1, 1, 5, 5, 5])
    assert times_of(path) == pytest.approx([0, 0.1, 0.2, 0.3, 0.8, 1.3])
    path = with_durations(write_video(tmp_path / 'b.mov', 5), [7, 1, 2, 1, 1])
    assert times_of(path) == pytest.approx([0, 0.7, 0.8, 1.0, 1.1])
    milliseconds = [0, 40, 90, 1500, 1501, 4000]
    path = with_milliseconds(write_video(tmp_path / 'c.mkv', 6), milliseconds)
    assert times_of(path) == pytest.approx([time / 1000 for time in milliseconds])


@pytest.mark.parametrize(
    'name, codec',
    [
        ('a.mp4', 'mp4v'),
        ('a.avi', 'MJPG'),
        ('a.mkv', 'mp4v'),
        ('a.webm', 'VP80'),
        ('a.wmv', 'WMV2'),
        ('a.flv', 'FLV1'),
        ('a.ts', 'mp4v'),
        # With B-frames: OpenCV numbers those of AVI from 1, and the last ones have no time.
        ('a.avi', 'MPG2'),
        ('a.mpg', 'MPG2'),
        ('a.mp4', 'MPG2'),
    ],
)
def test_times_of_a_constant_frame_rate(tmp_path, name, codec):
    path = write_video(tmp_path / name, 7, codec=codec)
    assert times_of(path) == pytest.approx([number / 10 for number in range(7)])


def test_times_begin_with_the_first_frame(tmp_path):
    path = starting_late(write_video(tmp_path / 'late.mp4', 4), 0.5)
    assert times_of(path) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_decoder_that_counts_from_the_second_frame(tmp_path, monkeypatch):
    path = write_video(tmp_path / 'a.avi', 4, codec='MJPG')
    capture = cv2.VideoCapture(str(path), cv2.CAP_OPENCV_MJPEG)
    assert capture.read()[0] and capture.get(cv2.CAP_PROP_POS_MSEC) == pytest.approx(100)
    capture = cv2.VideoCapture(str(path), cv2.CAP_OPENCV_MJPEG)
    monkeypatch.setattr(videos, '_open', lambda source: capture)
    assert times_of(path) == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    'positions, times',
    [
        # No positions at all, or none of the last frames
        ([0, 0, 0, 0], [0, 0.25, 0.5, 0.75]),
        ([math.nan] * 3, [0, 0.25, 0.5]),
        ([0, 2, 3, 0, 0], [0, 2, 3, 3.25, 3.5]),
        # None of one frame: its time is the mean rate's, but no later than the next.
        ([0, 0.1, 0, 0.3, 0.5], [0, 0.1, 0.35, 0.35, 0.5]),
        ([0.1, 0.2, 0.4], [0, 0.1, 0.3]),
        ([-0.08, 0.04, 0.08], [0, 0.04, 0.08]),
        # Two frames in the wrong order
        ([0, 0.4, 0.2, 0.6], [0, 0.4, 0.4, 0.6]),
        # Joined files
        ([0, 5, 10, 0.5, 0.7], [0, 5, 10, 10.25, 10.45]),
    ],
)
def test_times_never_decrease(positions, times):
    found = FrameTimes(4)
    for position in positions:
        found.add(position)
    assert [found[frame] for frame in range(len(times))] == pytest.approx(times)


def test_drift_is_the_largest_difference_from_the_mean_rate():
    found = FrameTimes(4)
    for position in (0, 0.25, 1.5, 1.75, 1.0):
        found.add(position)
    # Frames 2 and 3 are 1.0 late, and frame 4, which is 1.75, is 0.75 late.
    assert found.drift == pytest.approx(1.0)


@pytest.mark.parametrize('free, error', [(100, WriteError), (2**30, DataError)])
def test_a_video_that_is_not_written_in_full_is_no_result(tmp_path, monkeypatch, free, error):
    usage = namedtuple('usage', 'free')(free)
    monkeypatch.setattr('shutil.disk_usage', lambda path: usage)
    random = np.random.default_rng(0)
    path = tmp_path / 'drawn.mp4'
    with pytest.raises(
        error, match=f'drawn.mp4 cannot be written: 0 of 30 frames .* {free:,} bytes'
    ):
        with files_of_at_most(20_000), VideoWriter(str(path), 10) as writer:
            for _ in range(30):
                writer.write(random.integers(0, 255, (96, 128, 3), dtype=np.uint8))
    assert not list(tmp_path.iterdir())
