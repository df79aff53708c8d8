"""The old place of the data sets and of ``toy_scenes``, for one release."""

from allinone.data.datasets import Branches, CocoFile, PictureList

__all__ = ['Branches', 'CocoFile', 'PictureList']
