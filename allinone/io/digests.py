"""Digests of files."""

import hashlib

from mmengine.fileio import get

from allinone.errors import DataError

from .image_files import is_local

CHUNK = 1 << 20


def file_hash(path: str, backend_args: dict | None = None) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    try:
        if is_local(path):
            with open(path, 'rb') as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        else:
            digest.update(get(path, backend_args))
    except (OSError, DataError) as error:
        # The error is raised when the image is read, subject to skip_corrupt.
        return f'cannot be read: {getattr(error, "strerror", error)}'
    return digest.hexdigest()
