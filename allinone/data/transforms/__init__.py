"""Transforms of images with labels of several tasks."""

from .load_shared import LoadSharedAnnotations
from .pack_shared import PackSharedInputs

__all__ = ['LoadSharedAnnotations', 'PackSharedInputs']
