"""Which file a path names."""

import os
import os.path as osp
from collections.abc import Hashable

from .image_files import is_local


def file_identity(path: str) -> Hashable:
    """The same for all names of one file: paths to it, symbolic and hard links.

    Args:
        path: A local path, or an address, which stands for itself. The file may be missing.
    """
    if not is_local(path):
        return path
    try:
        found = os.stat(path)
    except OSError:
        return osp.abspath(path)  # Checks of the data set name a missing file.
    # Some file systems have no numbers of files.
    return (found.st_dev, found.st_ino) if found.st_ino else osp.abspath(path)
