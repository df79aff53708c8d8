"""Checks before the work that outputs can be written."""

import os.path as osp
import tempfile

from allinone.errors import ConfigError


def require_writable(option: str, path: str, folder: bool = False) -> None:
    """Refuse a path that cannot be written, without creating it.

    Args:
        option: The argument that has the path, such as ``'--out'``.
        path: A file, or with ``folder`` a folder; it need not exist, nor its parents.
        folder: Whether ``path`` is a folder for output files.

    Raises:
        ConfigError: If the path cannot be written.
    """
    full = osp.abspath(path)
    if not folder and osp.isdir(full):
        raise ConfigError(f'{option} is {path!r}, which is a folder; give the name of a file')
    place = full if folder else osp.dirname(full)
    while not osp.lexists(place):
        place = osp.dirname(place)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ConfigError(
            f'{option} is {path!r}, but nothing can be written in {place}: {error.strerror}; '
            'give another place'
        ) from error
