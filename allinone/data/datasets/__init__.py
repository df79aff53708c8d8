"""Data sets that the libraries lack."""

from allinone.io.renames import renamed_names

from .coco_file import CocoFileDataset
from .image_list import ImageListDataset
from .random_pipeline import RandomPipelineDataset

__all__ = ['RandomPipelineDataset', 'CocoFileDataset', 'ImageListDataset']

__getattr__ = renamed_names(__name__, ('Branches', 'CocoFile', 'PictureList'))
