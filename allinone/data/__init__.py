"""Data sets, their checks, samplers, loaders and storage."""

from .datasets import Branches, CocoFile, PictureList
from .samplers import ClassAwareSampler, DrawSampler
from .storage import LmdbPackBackend, PackBackend, RemoteBackend

__all__ = [
    'Branches',
    'ClassAwareSampler',
    'CocoFile',
    'DrawSampler',
    'LmdbPackBackend',
    'PackBackend',
    'PictureList',
    'RemoteBackend',
]
