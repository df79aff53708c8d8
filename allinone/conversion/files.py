"""Atomic writing of files, linking of images, and reading of large JSON files."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ijson

__all__ = [
    'LINKS',
    'SUFFIX',
    'json_elements',
    'place',
    'replacing',
]

LINKS = ('hard', 'symbolic', 'copy')
SUFFIX = '.tmp'


@contextmanager
def replacing(path: str | os.PathLike, mode: str = 'w', flush: bool = True):
    """Temporary file that replaces ``path`` at the end; after an error it is deleted.

    With ``flush``, its content is synced to the disk before the renaming.
    """
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = path + SUFFIX
    try:
        with open(temporary, mode, encoding=None if 'b' in mode else 'utf-8') as file:
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def json_elements(path: str | os.PathLike, key: str) -> Iterator[Any]:
    """Yield the elements of the list ``key`` of a JSON object, or of a top-level list.

    Memory holds one block of the file and its elements, not the full list.

    Raises:
        ValueError: If the file contains neither, or is truncated.
    """
    with open(path, 'rb') as file:
        try:
            _, first, _ = next(ijson.parse(file))
            if first not in ('start_array', 'start_map'):
                raise ValueError(f'it has a {first}, not a list or an object')
            file.seek(0)
            prefix = 'item' if first == 'start_array' else f'{key}.item'
            yield from ijson.items(file, prefix, use_float=True)  # Decimals otherwise
        except ijson.JSONError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f'it ends too early, or is no JSON: {reason}') from error


def place(source: str | os.PathLike, target: str | os.PathLike, link: str) -> None:
    """Link or copy the image ``source`` to ``target``; does nothing if that is already done.

    Args:
        source: An existing file; not modified.
        target: The new path; any other file of this name is replaced.
        link: ``hard`` makes a hard link (a symbolic one if the file system does not allow it, such
            as across file systems), ``symbolic`` a symbolic link, ``copy`` a copy.
    """
    if os.path.islink(source):
        source = os.path.realpath(source)
    source, target = os.path.abspath(source), os.fspath(target)
    if _is_placed(source, target, link):
        return
    try:
        _make(source, target, link)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _make(source, target, link)
    except FileExistsError:
        temporary = target + SUFFIX
        with suppress(FileNotFoundError):
            os.remove(temporary)
        _make(source, temporary, link)
        os.replace(temporary, target)


def _make(source: str, target: str, link: str) -> None:
    if link == 'copy':
        if os.path.lexists(target):
            raise FileExistsError(target)
        temporary = target + SUFFIX
        shutil.copy2(source, temporary)
        os.replace(temporary, target)
    elif link == 'symbolic':
        os.symlink(source, target)
    else:
        try:
            os.link(source, target)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError:  # Another file system, or one without hard links, or too many of them
            os.symlink(source, target)


def _is_placed(source: str, target: str, link: str) -> bool:
    try:
        there = os.lstat(target)
        if link == 'copy':
            here = os.stat(source)
            same = (there.st_size, there.st_mtime_ns) == (here.st_size, here.st_mtime_ns)
            return same and there.st_ino != here.st_ino
        return os.path.samefile(source, target) and (link == 'hard' or os.path.islink(target))
    except FileNotFoundError:
        return False
