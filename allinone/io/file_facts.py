"""Facts about files that are read once, and again only if a file has changed."""

import hashlib
import json
import os
import os.path as osp
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from .atomic import write_whole

T = TypeVar('T')


def cache_folder() -> str:
    """``$XDG_CACHE_HOME/allinone``, by default ``~/.cache/allinone``."""
    return osp.join(os.environ.get('XDG_CACHE_HOME') or osp.expanduser('~/.cache'), 'allinone')


class FileFacts(Generic[T]):
    """What was read of each file of a data set, kept between runs in the user's cache.

    A fact is used while the size and the time of change of its file are the same. The cache may be
    deleted at any time; a cache that cannot be read or written costs time, and is no error.

    Args:
        what: What the facts are, as JSON holds them; facts of another kind have another file.
        place: Of the files, such as their folder.
    """

    def __init__(self, what: str, place: str):
        name = hashlib.sha256(repr((what, osp.abspath(place))).encode()).hexdigest()[:32]
        self._path = osp.join(cache_folder(), 'file_facts', f'{name}.json')
        self._facts: dict[str, list] = {}
        self._changed = False
        with suppress(OSError, ValueError), open(self._path, encoding='utf-8') as file:
            facts = json.load(file)
            self._facts = facts if isinstance(facts, dict) else {}

    def of(self, path: str, read: Callable[[str], T]) -> T:
        """The fact about a file: as it is kept, or ``read(path)``, whose errors are not kept."""
        status = os.stat(path)
        stamp = [status.st_size, status.st_mtime_ns]
        kept = self._facts.get(path)
        if isinstance(kept, list) and kept[:2] == stamp:
            return kept[2]
        value = read(path)
        self._facts[path] = [*stamp, value]
        self._changed = True
        return value

    def save(self) -> None:
        """Write what is new."""
        if self._changed:
            with suppress(OSError):
                os.makedirs(osp.dirname(self._path), exist_ok=True)
                write_whole(self._path, json.dumps(self._facts).encode())
