"""Files that cannot be read now, and perhaps can soon."""

import errno
import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from mmengine.logging import print_log

from allinone.errors import DataError

T = TypeVar('T')
# Seconds before a file is read again; together less than a loader waits for a batch.
WAITS = (1, 2, 4, 8)
# What waiting does not fix
LASTING = (
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
)


def patiently(
    read: Callable[[], T], may_pass: Callable[[Exception], bool], name: Callable[[], str]
) -> T:
    """What ``read()`` answers, tried again after each of ``WAITS``.

    Args:
        read: Raises an error while what it reads is away.
        may_pass: Whether that error may be gone soon.
        name: What is read, for the log.

    Raises:
        Exception: Of ``read()``, if it does not pass.
    """
    for wait in WAITS:
        try:
            return read()
        except Exception as error:
            if not may_pass(error):
                raise
            text = f'{name()}: {error}; trying again in {wait:g} s'
            print_log(text, 'current', logging.WARNING)
        time.sleep(wait)
    return read()


def may_pass(error: Exception) -> bool:
    """Whether a file may be readable again soon: its server or mount is away, not the file."""
    cause: BaseException | None = error
    if isinstance(error, DataError):
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno is None:
            return False  # It was read, and is no image.
    if not isinstance(cause, OSError):
        return False
    if cause.errno == errno.ENOENT:
        return not os.path.isdir(os.path.dirname(cause.filename or '') or '.')
    return cause.errno not in LASTING
