"""Files of servers by their URL, over fsspec: ``https://HOST/FILE``, ``s3://BUCKET/FILE``."""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mmengine.fileio import register_backend

from allinone.errors import DataError

from .backend import ReadOnlyBackend
from .retries import WAITS, patiently

T = TypeVar('T')
SILENCE = 5  # Seconds for a connection, and between two parts of an answer
PACKAGES = dict(http='fsspec aiohttp', https='fsspec aiohttp', s3='fsspec s3fs')
# What waiting does not fix, as the file systems say it
LASTING = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(ValueError, TypeError, LookupError, AttributeError),
)
BUSY = (408, 425, 429)  # The only statuses below 500 that pass

# ``{(process, scheme, options): file system}``. One that was open before a fork is not used after
# it, and kept: to close it there would end connections of the parent.
_file_systems: dict = {}


class RemoteBackend(ReadOnlyBackend):
    """Reads by URL; mmengine chooses it by ``http``, ``https`` and ``s3``.

    It takes the place of mmengine's own: that of HTTP waits for ever and asks once, that of S3 is
    for Petrel, which ``dict(backend='petrel')`` still names. A server that fails is asked again
    after each of ``retries.WAITS``; but over HTTP, whether a file exists is
    asked once, and a failure counts as no.

    Args:
        **options: Of the file system of fsspec, such as ``anon=True`` for a public bucket.
    """

    def __init__(self, **options):
        self.options = options

    def content(self, filepath: str | os.PathLike) -> bytes:
        return self._ask(filepath, lambda system, path: system.cat_file(path))

    def exists(self, filepath: str | os.PathLike) -> bool:
        return self._ask(filepath, lambda system, path: system.exists(path))

    def isfile(self, filepath: str | os.PathLike) -> bool:
        return self._ask(filepath, lambda system, path: system.isfile(path))

    def isdir(self, filepath: str | os.PathLike) -> bool:
        return self._ask(filepath, lambda system, path: system.isdir(path))

    def list_dir_or_file(
        self,
        dir_path: str | os.PathLike,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """Names below a folder, in order; of HTTP, those that the server's page of it links."""

        def names(system, top: str) -> set[str]:
            top = top.rstrip('/')
            found = set()
            depth = None if recursive else 1
            for folder, folders, files in system.walk(top, maxdepth=depth, on_error='raise'):
                inside = folder.rstrip('/').removeprefix(top).lstrip('/')
                kept = [name for name in files if list_file and name.endswith(suffix or '')]
                for name in [*kept, *(folders if list_dir else ())]:
                    found.add(f'{inside}/{name}' if inside else name)
            return found

        yield from sorted(self._ask(dir_path, names))

    def _ask(self, filepath: str | os.PathLike, question: Callable[[Any, str], T]) -> T:
        url = str(filepath)
        system = self._file_system(url)
        path = system._strip_protocol(url)
        try:
            return patiently(lambda: question(system, path), _may_pass, lambda: url)
        except Exception as error:
            words = ' '.join(f'{type(error).__name__} {error}'.split())
            tried = f' (asked {len(WAITS) + 1} times)' if _may_pass(error) else ''
            # Without its cause, for which a data set would ask all over again
            raise DataError(
                f'{url} cannot be read: {words}{tried}; check the address and the server'
            ) from None

    def _file_system(self, url: str):
        scheme = url.partition('://')[0]
        key = os.getpid(), scheme, repr(self.options)
        if key not in _file_systems:
            try:
                import fsspec

                options = _defaults(scheme) | self.options
                _file_systems[key] = fsspec.filesystem(scheme, **options)
                if scheme == 's3':
                    _file_systems[key].retries = 1  # As often as is asked
            except ImportError as error:
                needed = PACKAGES.get(scheme, 'fsspec and what it names')
                raise DataError(
                    f'{url} is read by packages that are not installed ({error}); run pip install '
                    f'{needed}'
                ) from error
            except ValueError as error:  # A scheme that it does not know
                raise DataError(f'{url} cannot be read: {error}; check the address') from error
        return _file_systems[key]


def _defaults(scheme: str) -> dict:
    """So that each question ends soon; of a whole answer there is no limit, for it may be large."""
    if scheme == 's3':
        limits = dict(connect_timeout=SILENCE, read_timeout=SILENCE)
        return dict(config_kwargs=dict(limits, retries=dict(total_max_attempts=1)))
    if scheme in ('http', 'https'):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
        return dict(client_kwargs=dict(timeout=timeout, trust_env=True))
    return {}


def _may_pass(error: Exception) -> bool:
    status = getattr(error, 'status', None)
    if isinstance(status, int):
        return status >= 500 or status in BUSY
    return not isinstance(error, LASTING)


for name in ('http', 's3'):
    prefixes = [name, 'https'] if name == 'http' else name
    register_backend(name, RemoteBackend, force=True, prefixes=prefixes)
register_backend('fsspec', RemoteBackend)
