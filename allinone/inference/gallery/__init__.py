"""Galleries: embeddings of images or boxes, to be searched for what looks like a query."""

from .index import Gallery

__all__ = ['Gallery']
