"""What the file backends of packs and of servers have in common."""

import os
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mmengine.fileio import BaseStorageBackend

from allinone.io.image_files import check_end


class ReadOnlyBackend(BaseStorageBackend):
    """Files that mmengine reads by their URL; a backend says what the content of one is.

    It holds nothing that is open, so it may be pickled, and copied into other processes.
    """

    @abstractmethod
    def content(self, filepath: str | os.PathLike) -> bytes:
        """All bytes of a file; raises :class:`DataError` with its URL."""

    def get(self, filepath: str | os.PathLike) -> bytes:
        """The content of a file.

        Raises:
            DataError: If it cannot be read, or is an image without an end.
        """
        content = self.content(filepath)
        check_end(str(filepath), content)
        return content

    def get_text(self, filepath: str | os.PathLike, encoding: str = 'utf-8') -> str:
        return self.get(filepath).decode(encoding)

    @contextmanager
    def get_local_path(self, filepath: str | os.PathLike) -> Iterator[str]:
        """A copy of the file while it is needed, for what reads paths alone."""
        with tempfile.TemporaryDirectory() as folder:
            suffix = PurePosixPath(str(filepath).partition('?')[0]).suffix
            path = Path(folder, f'file{suffix}')
            path.write_bytes(self.get(filepath))
            yield str(path)

    def join_path(self, filepath: str | os.PathLike, *filepaths: str | os.PathLike) -> str:
        return '/'.join([str(filepath).rstrip('/'), *map(str, filepaths)])
