"""Folders of many small files as few large ones: ``pack://FOLDER.pack/NAME`` in place of a path."""

import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mmengine.fileio import BaseStorageBackend, register_backend

from allinone.errors import DataError

SCHEME = 'pack://'
SUFFIX = '.pack'
INDEX = 'index.json'
SHARD_BYTES = 1 << 30


def pack(folder: str | os.PathLike, out: str | os.PathLike, shard_bytes: int = SHARD_BYTES) -> int:
    """Write all files below a folder, by name, into tar files of about ``shard_bytes`` each.

    They are plain tars, as WebDataset's, with an index of where each file lies; so a file is read
    by one call, in any order, and schedules and resuming do not know of them.

    Args:
        folder: What to pack.
        out: The pack, a new folder whose name ends in ``.pack``.
        shard_bytes: When to begin the next shard.

    Returns:
        The number of files.

    Raises:
        DataError: If ``folder`` has no file, or ``out`` is there or has another ending.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise DataError(f'{out} does not end in {SUFFIX}, by which packs are known; rename it')
    if out.exists():
        raise DataError(f'{out} is there already; name another folder, or remove it')
    files = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if os.path.isfile(os.path.join(place, name))
    )
    if not files:
        raise DataError(f'{folder} has no file to pack; check the path')
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}-') as beside:
        written = Path(beside) / out.name
        written.mkdir()
        index, shard, name = {}, None, ''
        try:
            for path in files:
                if shard is None or shard.offset >= shard_bytes:
                    if shard is not None:
                        shard.close()
                    name = f'{len(list(written.iterdir())):05d}.tar'
                    shard = tarfile.open(written / name, 'w', format=tarfile.GNU_FORMAT)
                key = path.relative_to(folder).as_posix()
                content = path.read_bytes()
                member = tarfile.TarInfo(key)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
                # Contents are padded to whole blocks of 512 bytes.
                start = shard.offset - -(-len(content) // 512) * 512
                index[key] = [name, start, len(content), zlib.crc32(content)]
        finally:
            if shard is not None:
                shard.close()
        (written / INDEX).write_text(json.dumps(index), encoding='utf-8')
        written.rename(out)
    return len(index)


class PackBackend(BaseStorageBackend):
    """Reads ``pack://PATH/NAME.pack/FILE``; mmengine chooses it by the scheme."""

    def __init__(self) -> None:
        self._indices: dict[str, dict[str, list]] = {}
        self._shards: dict[str, int] = {}

    def get(self, filepath: str | os.PathLike) -> bytes:
        """The content of a file.

        Raises:
            DataError: If the pack does not have it, or it is damaged.
        """
        root, key = _parse(filepath)
        try:
            name, start, size, checksum = self._index(root)[key]
        except KeyError:
            raise DataError(f'{filepath} is not in the pack; pack its folder again') from None
        path = os.path.join(root, name)
        if path not in self._shards:
            self._shards[path] = os.open(path, os.O_RDONLY)
        # Has no position in the file, which worker processes would share.
        content = os.pread(self._shards[path], size, start)
        if len(content) < size or zlib.crc32(content) != checksum:
            raise DataError(f'{filepath} is damaged in {path}; pack its folder again')
        return content

    def get_text(self, filepath: str | os.PathLike, encoding: str = 'utf-8') -> str:
        return self.get(filepath).decode(encoding)

    @contextmanager
    def get_local_path(self, filepath: str | os.PathLike) -> Iterator[str]:
        """A copy of the file while it is needed, for what reads paths alone."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, PurePosixPath(filepath).name)
            Path(path).write_bytes(self.get(filepath))
            yield path

    def exists(self, filepath: str | os.PathLike) -> bool:
        root, key = _parse(filepath)
        return key in self._index(root) or self.isdir(filepath)

    def isfile(self, filepath: str | os.PathLike) -> bool:
        root, key = _parse(filepath)
        return key in self._index(root)

    def isdir(self, filepath: str | os.PathLike) -> bool:
        root, key = _parse(filepath)
        return not key or any(name.startswith(f'{key}/') for name in self._index(root))

    def join_path(self, filepath: str | os.PathLike, *filepaths: str | os.PathLike) -> str:
        return '/'.join([str(filepath).rstrip('/'), *map(str, filepaths)])

    def list_dir_or_file(
        self,
        dir_path: str | os.PathLike,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """Names below a folder, as mmengine's local backend gives them, in order."""
        root, key = _parse(dir_path)
        prefix = f'{key}/' if key else ''
        seen = set()
        for name in self._index(root):
            rest = name.removeprefix(prefix)
            if name.startswith(prefix):
                folders = [parent.as_posix() for parent in PurePosixPath(rest).parents][:-1]
                seen |= set(folders[-1:] if not recursive else folders) if list_dir else set()
                if list_file and (recursive or not folders) and rest.endswith(suffix or ''):
                    seen.add(rest)
        yield from sorted(seen)

    def _index(self, root: str) -> dict[str, list]:
        if root not in self._indices:
            path = os.path.join(root, INDEX)
            try:
                with open(path, encoding='utf-8') as file:
                    self._indices[root] = json.load(file)
            except OSError as error:
                raise DataError(f'{path} cannot be read: {error.strerror}') from error
        return self._indices[root]


def _parse(filepath: str | os.PathLike) -> tuple[str, str]:
    """Folder of the pack, and the name of the file in it."""
    path = str(filepath).removeprefix(SCHEME)
    root, suffix, key = path.partition(f'{SUFFIX}/')
    if not suffix and path.endswith(SUFFIX):
        return path, ''
    if not suffix:
        raise DataError(f'{filepath} names no pack; write {SCHEME}PATH/NAME{SUFFIX}/FILE')
    return root + SUFFIX, '/'.join(part for part in key.split('/') if part)


register_backend('pack', PackBackend, prefixes='pack')
