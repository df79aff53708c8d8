"""Data sets, their checks, samplers, loaders and storage."""

from allinone.io.renames import renamed_names

from .datasets import (
    CocoFileDataset,
    IdentityDataset,
    ImageListDataset,
    RandomPipelineDataset,
    SharedDataset,
)
from .identity_sampler import IdentitySampler
from .samplers import ClassAwareSampler, SeededInfiniteSampler
from .shared_sampler import SharedSampler
from .storage import LmdbPackBackend, PackBackend, RemoteBackend
from .transforms import LoadSharedAnnotations, PackSharedInputs

__all__ = [
    'RandomPipelineDataset',
    'ClassAwareSampler',
    'CocoFileDataset',
    'SeededInfiniteSampler',
    'IdentityDataset',
    'IdentitySampler',
    'LmdbPackBackend',
    'PackBackend',
    'ImageListDataset',
    'RemoteBackend',
    'SharedDataset',
    'SharedSampler',
    'LoadSharedAnnotations',
    'PackSharedInputs',
]

OLD = ('Branches', 'CocoFile', 'DrawSampler', 'PictureList')
__getattr__ = renamed_names(__name__, OLD)
