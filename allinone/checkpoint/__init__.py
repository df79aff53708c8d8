"""Checkpoints: formats, folders, reading, writing and pretrained weights."""

from .pretrained import SafePretrainedInit

__all__ = [
    'SafePretrainedInit',
]
