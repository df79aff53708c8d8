"""Where the files of a data set lie: packs, LMDB, servers."""

from .lmdb_packs import LmdbPackBackend
from .packs import PackBackend
from .remote import RemoteBackend

__all__ = ['LmdbPackBackend', 'PackBackend', 'RemoteBackend']
