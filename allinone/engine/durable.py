"""Files that are there whole or not at all, whatever dies while they are written."""

import errno
import os
import os.path as osp
import shutil
from contextlib import suppress

SUFFIX = '.tmp'


def write_durably(path: str | os.PathLike, data) -> None:
    """Write to a temporary file in the same folder, flush it to the disk, then rename it.

    A process or machine that dies at any moment leaves the earlier file of this name, or the new
    one. After a failure the temporary file is gone.

    Args:
        path: Where to.
        data: Anything that holds bytes.

    Raises:
        OSError: If the file cannot be written, such as on a full disk.
    """
    path = os.fspath(path)
    temporary = path + SUFFIX
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(FileNotFoundError):
            os.remove(temporary)
        raise
    _flush_folder(osp.dirname(osp.abspath(path)))


def _flush_folder(folder: str) -> None:
    """The new name, too, is on the disk only after this."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not know it, and need it as little.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def why_not_written(path: str, needed: int, error: OSError) -> str:
    """One clause with the file, the bytes it needs and the bytes that are free."""
    free = 'unknown'
    with suppress(OSError):
        free = f'{shutil.disk_usage(osp.dirname(osp.abspath(path))).free:,}'
    return (
        f'{path} cannot be written: {error.strerror or error}; it needs {needed:,} bytes, and '
        f'{free} are free'
    )
