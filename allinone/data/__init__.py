"""Data sets, their checks, samplers, loaders and storage."""

from allinone.io.renames import renamed_names

from .datasets import CocoFileDataset, ImageListDataset, RandomPipelineDataset
from .samplers import ClassAwareSampler, SeededInfiniteSampler
from .storage import LmdbPackBackend, PackBackend, RemoteBackend

__all__ = [
    'RandomPipelineDataset',
    'ClassAwareSampler',
    'CocoFileDataset',
    'SeededInfiniteSampler',
    'LmdbPackBackend',
    'PackBackend',
    'ImageListDataset',
    'RemoteBackend',
]

OLD = ('Branches', 'CocoFile', 'DrawSampler', 'PictureList')
__getattr__ = renamed_names(__name__, OLD)
