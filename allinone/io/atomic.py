"""Atomic file writes: a process that dies never leaves a half-written file."""

import errno
import json
import os
import os.path as osp
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, cast

from allinone.errors import AllInOneError

SUFFIX = '.tmp'


class WriteError(AllInOneError):
    """A file could not be written; an earlier file of that name is unchanged."""


class _Sink:
    """A file that accepts all writes and keeps its first error for the end.

    This counts the bytes that are needed, and lets PyTorch's zip writer finish: if interrupted, it
    hides the cause behind another error.
    """

    def __init__(self, file: BinaryIO):
        self.file = file
        self.size = 0
        self.error: OSError | None = None

    def write(self, data) -> int:
        size = memoryview(data).nbytes
        self.size += size
        self._try(lambda: self.file.write(data))
        return size

    def flush(self) -> None:
        self._try(self.file.flush)

    def sync(self) -> None:
        self.flush()
        self._try(lambda: os.fsync(self.file.fileno()))

    def _try(self, call: Callable[[], object]) -> None:
        if self.error is None:
            try:
                call()
            except OSError as error:
                self.error = error


def write_durably(path: str | os.PathLike, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write to a temporary file in the same folder, flush it to the disk, then rename it.

    A process or machine that dies at any moment leaves either the earlier file of this name or the
    new one. A failure removes the temporary file.

    Args:
        path: Path of the file.
        content: Bytes, or a function that writes them to the file that it gets as argument.

    Raises:
        WriteError: If the file cannot be written, for example on a full disk. It names the bytes
            needed.
    """
    path = os.fspath(path)
    temporary = path + SUFFIX
    sink: _Sink | None = None
    try:
        with open(temporary, 'wb') as file:
            sink = _Sink(file)
            content(cast(BinaryIO, sink)) if callable(content) else sink.write(content)
            sink.sync()
            if sink.error is not None:
                raise sink.error
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.remove(temporary)
        if not isinstance(error, OSError):
            raise
        raise WriteError(_why_not(path, None if sink is None else sink.size, error)) from error
    _flush_folder(osp.dirname(osp.abspath(path)))


def _flush_folder(folder: str) -> None:
    """Flush a folder, which makes new file names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not support it and do not need it.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _why_not(path: str, needed: int | None, error: OSError) -> str:
    """Clause with the file, the bytes that it needs and the free bytes."""
    why = f'{path} cannot be written: {error.strerror or error}'
    if not needed:
        return why  # The file could not be opened.
    free = 'unknown'
    with suppress(OSError):
        free = f'{shutil.disk_usage(osp.dirname(osp.abspath(path))).free:,}'
    return f'{why}; it needs {needed:,} bytes, and {free} are free'


def write_whole(path: str | os.PathLike, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write to a temporary file and rename it, so that no half-written file ever exists.

    Creates the folder. Unlike :func:`write_durably`, it does not wait for the disk.
    """
    path = os.fspath(path)
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    try:
        with open(path + SUFFIX, 'wb') as file:
            content(file) if callable(content) else file.write(content)
        os.replace(path + SUFFIX, path)
    except BaseException:
        with suppress(OSError):
            os.remove(path + SUFFIX)
        raise


def write_json(path: str, content, indent: int | None = 2) -> None:
    """Write JSON with :func:`write_whole`.

    NaN values of a dictionary are written as null, because JSON has no NaN. Indenting takes three
    times as long.
    """
    if isinstance(content, dict):
        content = {key: None if value != value else value for key, value in content.items()}
    write_whole(path, f'{json.dumps(content, indent=indent)}\n'.encode())
