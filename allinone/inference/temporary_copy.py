"""Bytes kept in a temporary file."""

import os
import tempfile
import weakref
from contextlib import suppress


class TemporaryCopy:
    """A temporary file with some content, removed with this object or at the end of the process.

    A pickled or copied object has the content, and writes a file of its own.

    Attributes:
        path: The file.

    Args:
        content: What is written.
    """

    def __init__(self, content: bytes):
        descriptor, self.path = tempfile.mkstemp(prefix='allinone-')
        weakref.finalize(self, _remove, self.path, os.getpid())
        with open(descriptor, 'wb') as file:
            file.write(content)

    def __reduce__(self):
        with open(self.path, 'rb') as file:
            return type(self), (file.read(),)


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:  # Not in a fork, whose parent still needs it
        with suppress(OSError):
            os.remove(path)
