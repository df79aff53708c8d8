"""Folders of many small files as few large ones: ``pack://FOLDER.pack/NAME`` in place of a path."""

import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from mmengine.fileio import register_backend

from allinone.errors import DataError

from .backend import ReadOnlyBackend

INDEX = 'index.json'
SHARD_BYTES = 1 << 30
# ``{ending of a pack: what writes it}``: a writer gets ``{name: file}``, the new folder and
# ``shard_bytes``, and answers where each file lies, with its checksum as the last.
WRITERS: dict[str, Callable[[Mapping[str, Path], Path, int], dict[str, list]]] = {}


def pack(
    folder: str | os.PathLike[str], out: str | os.PathLike[str], shard_bytes: int = SHARD_BYTES
) -> int:
    """Write all files below a folder, by name, into few large ones, with an index of them.

    A file is then read by one call, in any order, and schedules and resuming do not know of it.

    Args:
        folder: What to pack.
        out: The pack, a new folder whose name ends in ``.pack`` or ``.lmdb``.
        shard_bytes: When to begin the next tar of a ``.pack``.

    Returns:
        The number of files.

    Raises:
        DataError: If ``folder`` has no file, ``out`` is there or has another ending, or LMDB is
            not installed or does not take a name.
    """
    out = Path(out)
    if out.suffix not in WRITERS:
        raise DataError(
            f'{out} does not end in {" or ".join(WRITERS)}, by which packs are known; rename it'
        )
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
        names = {path.relative_to(folder).as_posix(): path for path in files}
        index = WRITERS[out.suffix](names, written, shard_bytes)
        (written / INDEX).write_text(json.dumps(index), encoding='utf-8')
        written.rename(out)
    return len(index)


def write_tars(files: Mapping[str, Path], folder: Path, shard_bytes: int) -> dict[str, list]:
    """Plain tars, as WebDataset's; of each file its tar, first byte, size and checksum."""
    index, shard, name = {}, None, ''
    try:
        for key, path in files.items():
            if shard is None or shard.offset >= shard_bytes:
                if shard is not None:
                    shard.close()
                name = f'{len(list(folder.iterdir())):05d}.tar'
                shard = tarfile.open(folder / name, 'w', format=tarfile.GNU_FORMAT)
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
    return index


WRITERS['.pack'] = write_tars


@cache
def index_of(root: str) -> dict[str, list]:
    """What a pack holds, by name.

    Raises:
        DataError: If its index cannot be read, or is damaged.
    """
    path = os.path.join(root, INDEX)
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from error
    except ValueError as error:
        raise DataError(f'{path} is damaged: {error}; pack its folder again') from error


@cache
def _shard(path: str) -> int:
    return os.open(path, os.O_RDONLY)


class PackBackend(ReadOnlyBackend):
    """Reads ``pack://PATH/NAME.pack/FILE``; mmengine chooses it by the scheme."""

    SCHEME, SUFFIX = 'pack://', '.pack'

    def content(self, filepath: str | os.PathLike) -> bytes:
        root, key = self._parse(filepath)
        if key not in index_of(root):
            raise DataError(f'{filepath} is not in the pack; pack its folder again')
        *place, checksum = index_of(root)[key]
        content = self.read(root, key, *place)
        if content is None or zlib.crc32(content) != checksum:
            raise DataError(f'{filepath} is damaged in {root}; pack its folder again')
        return content

    def read(self, root: str, key: str, name: str, start: int, size: int) -> bytes | None:
        """What lies where the index says, right or wrong; None: nothing."""
        # Has no position in the file, which worker processes would share.
        return os.pread(_shard(os.path.join(root, name)), size, start)

    def exists(self, filepath: str | os.PathLike) -> bool:
        root, key = self._parse(filepath)
        return key in index_of(root) or self.isdir(filepath)

    def isfile(self, filepath: str | os.PathLike) -> bool:
        root, key = self._parse(filepath)
        return key in index_of(root)

    def isdir(self, filepath: str | os.PathLike) -> bool:
        root, key = self._parse(filepath)
        return not key or any(name.startswith(f'{key}/') for name in index_of(root))

    def list_dir_or_file(
        self,
        dir_path: str | os.PathLike,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """Names below a folder, as mmengine's local backend gives them, in order."""
        root, key = self._parse(dir_path)
        prefix = f'{key}/' if key else ''
        seen = set()
        for name in index_of(root):
            rest = name.removeprefix(prefix)
            if name.startswith(prefix):
                folders = [parent.as_posix() for parent in PurePosixPath(rest).parents][:-1]
                seen |= set(folders[-1:] if not recursive else folders) if list_dir else set()
                if list_file and (recursive or not folders) and rest.endswith(suffix or ''):
                    seen.add(rest)
        yield from sorted(seen)

    def _parse(self, filepath: str | os.PathLike) -> tuple[str, str]:
        """Folder of the pack, and the name of the file in it."""
        path = str(filepath).removeprefix(self.SCHEME)
        root, suffix, key = path.partition(f'{self.SUFFIX}/')
        if not suffix and path.endswith(self.SUFFIX):
            return path, ''
        if not suffix:
            raise DataError(
                f'{filepath} names no pack; write {self.SCHEME}PATH/NAME{self.SUFFIX}/FILE'
            )
        return root + self.SUFFIX, '/'.join(part for part in key.split('/') if part)


register_backend('pack', PackBackend, prefixes='pack')
