from .picture_list import PictureList

__all__ = ['PictureList']
