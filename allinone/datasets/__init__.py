from .packs import PackBackend
from .picture_list import PictureList

__all__ = ['PackBackend', 'PictureList']
