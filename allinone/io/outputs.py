"""Checks that an output can be written, made before the work."""

import os.path as osp
import tempfile

from allinone.errors import ConfigError


def require_writable(option: str, path: str, folder: bool = False) -> None:
    """Refuse a place where nothing can be written; nothing is made there yet.

    Args:
        option: The argument that names it, as in ``'--out'``.
        path: A file, or with ``folder`` a folder; it need not exist, nor its parents.
        folder: Whether files will be written in it.

    Raises:
        ConfigError: If not.
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
