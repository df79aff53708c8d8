"""Data sets that the libraries lack."""

from .coco_file import CocoFile
from .image_list import PictureList
from .random_pipeline import Branches

__all__ = ['Branches', 'CocoFile', 'PictureList']
