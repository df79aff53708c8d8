"""Transforms of images with labels of several tasks, and of identities."""

from .load_shared import LoadSharedAnnotations
from .pack_reid import PackReIDInputs
from .pack_shared import PackSharedInputs

__all__ = ['LoadSharedAnnotations', 'PackReIDInputs', 'PackSharedInputs']
