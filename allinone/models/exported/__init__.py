"""Exported graphs (``tools/export.py``) in the place of a joint model: they only predict."""

from .model import ExportedModel
from .runtimes import Runtime, open_runtime

__all__ = ['ExportedModel', 'Runtime', 'open_runtime']
