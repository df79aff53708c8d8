"""The old place of the data sets and of ``toy_scenes``, for one release."""

from allinone.data.datasets import CocoFileDataset, ImageListDataset, RandomPipelineDataset
from allinone.io.renames import renamed_names

__all__ = ['RandomPipelineDataset', 'CocoFileDataset', 'ImageListDataset']

__getattr__ = renamed_names(__name__, ('Branches', 'CocoFile', 'PictureList'))
