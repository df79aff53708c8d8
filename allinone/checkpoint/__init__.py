"""Checkpoints: formats, folders, reading, writing, pretrained weights."""

from .pretrained import SafePretrainedInit

__all__ = [
    'SafePretrainedInit',
]
