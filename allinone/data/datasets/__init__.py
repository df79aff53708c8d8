"""Data sets that the libraries lack."""

from allinone.io.renames import renamed_names

from .coco_file import CocoFileDataset
from .identity import IdentityDataset
from .image_list import ImageListDataset
from .random_pipeline import RandomPipelineDataset
from .shared_dataset import SharedDataset

__all__ = [
    'RandomPipelineDataset',
    'CocoFileDataset',
    'IdentityDataset',
    'ImageListDataset',
    'SharedDataset',
]

__getattr__ = renamed_names(__name__, ('Branches', 'CocoFile', 'PictureList'))
