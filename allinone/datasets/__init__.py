from .branches import Branches
from .coco_file import CocoFile
from .packs import PackBackend
from .picture_list import PictureList

__all__ = ['Branches', 'CocoFile', 'PackBackend', 'PictureList']
