"""Small video files whose times are known."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

SECOND = 1000  # in the units of an MP4 header


def write_video(path: Path, frames: int, rate: float = 10, codec='mp4v', backend=cv2.CAP_FFMPEG):
    """A video of grey frames, each 12 levels brighter than the one before."""
    code = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), backend, code, rate, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * 12, np.uint8))
    writer.release()
    return path


def with_durations(path: Path, durations: Sequence[int]):
    """Multiply the durations of the frames of an MP4."""
    data = bytearray(path.read_bytes())
    # Version and flags, number of entries, and the only entry
    number, delta = struct.unpack('>II', _box(data, b'stts')[8:])
    assert number == len(durations)
    entries = [struct.pack('>II', 1, delta * factor) for factor in durations]
    table = bytes(4) + struct.pack('>I', number) + b''.join(entries)
    _replace(data, b'stts', table, (b'stbl', b'minf', b'mdia', b'trak', b'moov'))
    mean = sum(durations) / number
    for box, offset in ((b'mvhd', 20), (b'tkhd', 24), (b'mdhd', 20), (b'elst', 12)):
        _change(data, data.find(box) + offset, lambda old: round(old * mean))
    path.write_bytes(data)
    return path


def starting_late(path: Path, seconds: float):
    """Let the video of an MP4 begin after its other streams."""
    data = bytearray(path.read_bytes())
    empty = struct.pack('>IiI', round(seconds * SECOND), -1, 1 << 16)
    edits = _box(data, b'elst')
    table = edits[:4] + struct.pack('>I', 2) + empty + edits[8:]
    _replace(data, b'elst', table, (b'edts', b'trak', b'moov'))
    path.write_bytes(data)
    return path


def with_milliseconds(path: Path, times: Sequence[int], rate: float = 10):
    """Give the frames of a Matroska file of one cluster other times."""
    data = bytearray(path.read_bytes())
    begin = data.find(bytes.fromhex('1f43b675'))
    for number, time in reversed(list(enumerate(times))):
        block = b'\x81' + struct.pack('>h', round(1000 * number / rate))  # Of track 1
        place = data.find(block, begin)
        data[place : place + 3] = b'\x81' + struct.pack('>h', time)
    path.write_bytes(data)
    return path


def _box(data: bytearray, name: bytes) -> bytearray:
    place = data.find(name)
    (size,) = struct.unpack('>I', data[place - 4 : place])
    return data[place + 4 : place - 4 + size]


def _replace(data: bytearray, name: bytes, content: bytes, parents: Sequence[bytes]) -> None:
    place, grown = data.find(name), len(content) - len(_box(data, name))
    data[place + 4 : place + 4 + len(content) - grown] = content
    for box in (name, *parents):
        _change(data, data.rfind(box, 0, place + 4) - 4, lambda old: old + grown)


def _change(data: bytearray, place: int, change: Callable[[int], int]) -> None:
    (old,) = struct.unpack('>I', data[place : place + 4])
    data[place : place + 4] = struct.pack('>I', change(old))
