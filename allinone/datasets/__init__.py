from .branches import Branches
from .coco_file import CocoFile
from .lmdb_packs import LmdbPackBackend
from .packs import PackBackend
from .picture_list import PictureList
from .remote import RemoteBackend

__all__ = [
    'Branches',
    'CocoFile',
    'LmdbPackBackend',
    'PackBackend',
    'PictureList',
    'RemoteBackend',
]
