"""One graph for all tasks of a trained joint model, in formats that run without allinone."""

from .export import FORMATS, PRECISIONS, export

__all__ = ['FORMATS', 'PRECISIONS', 'export']
