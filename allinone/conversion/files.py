"""Files that are there whole or not at all, and pictures that are linked, not copied."""

import os
import shutil
from contextlib import contextmanager, suppress

__all__ = ['LINKS', 'SUFFIX', 'place', 'replacing']

LINKS = ('hard', 'symbolic', 'copy')
SUFFIX = '.tmp'


@contextmanager
def replacing(path: str | os.PathLike, mode: str = 'w', flush: bool = True):
    """A temporary file beside ``path`` that takes its place at the end, and is gone after an error.

    With ``flush``, what it holds is on the disk before it is renamed.
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


def place(source: str | os.PathLike, target: str | os.PathLike, link: str) -> None:
    """Make ``target`` the picture ``source``; does nothing if it is.

    Args:
        source: An existing file; it is not changed.
        target: Whatever else has this name is replaced.
        link: ``hard`` shares the file (a symbolic link where file systems do not allow that, as
            from one to another), ``symbolic`` points to it, ``copy`` copies it.
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
