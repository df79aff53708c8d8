"""Packs in one LMDB database: ``lmdb://FOLDER.lmdb/NAME`` in place of a path."""

import os
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path

from mmengine.fileio import register_backend

from allinone.errors import DataError

from .packs import WRITERS, PackBackend

# A database takes as much of the disk as it holds; the map only limits it.
FILE_ROOM, MAP_ROOM = 1 << 14, 1 << 24

_environments: dict = {}
_lock = threading.Lock()


def write_lmdb(files: Mapping[str, Path], folder: Path, shard_bytes: int) -> dict[str, list]:
    """A database of contents by name, which mmengine's own ``LmdbBackend`` reads too."""
    lmdb = _library()
    room = sum(path.stat().st_size + FILE_ROOM for path in files.values()) + MAP_ROOM
    index = {}
    with lmdb.open(str(folder), map_size=room, lock=False, sync=False) as environment:
        longest = environment.max_key_size()
        for key, path in files.items():
            name, content = key.encode(), path.read_bytes()
            if len(name) > longest:
                raise DataError(
                    f'{path} has a name of {len(name)} bytes, but LMDB takes {longest}; shorten '
                    'it, or write a .pack'
                )
            with environment.begin(write=True) as transaction:
                transaction.put(name, content)
            index[key] = [zlib.crc32(content)]
        environment.sync(True)
    return index


WRITERS['.lmdb'] = write_lmdb


class LmdbPackBackend(PackBackend):
    """Reads ``lmdb://PATH/NAME.lmdb/FILE``; mmengine chooses it by the scheme.

    Its own ``LmdbBackend`` would do for images, but lists nothing, keeps its environment open in
    forked workers, which LMDB forbids, and takes ASCII names alone.
    """

    SCHEME, SUFFIX = 'lmdb://', '.lmdb'

    def read(self, root: str, key: str, *place: object) -> bytes | None:
        with _environment(root).begin() as transaction:
            return transaction.get(key.encode())


def _library():
    try:
        import lmdb
    except ImportError as error:
        raise DataError(
            'packs that end in .lmdb need the package lmdb, which is not installed; run pip '
            'install lmdb, or write and read a .pack'
        ) from error
    return lmdb


def _environment(root: str):
    """The open database of a pack; LMDB takes it once a process, whatever its path is called."""
    with _lock:
        if root not in _environments:
            real = os.path.realpath(root)
            if real not in _environments:
                _environments[real] = _opened(real)
            _environments[root] = _environments[real]
        return _environments[root]


def _opened(root: str):
    lmdb = _library()
    try:
        return lmdb.open(root, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise DataError(f'{root} cannot be read: {error}; pack its folder again') from error


def _close_in_child() -> None:
    """A forked process opens its databases itself."""
    global _lock
    _lock = threading.Lock()
    for environment in _environments.values():
        environment.close()
    _environments.clear()


os.register_at_fork(after_in_child=_close_in_child)
register_backend('lmdb_pack', LmdbPackBackend, prefixes='lmdb')
