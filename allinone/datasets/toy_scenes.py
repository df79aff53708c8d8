"""The old place of :mod:`allinone.data.toy.make`, for one release."""

from allinone.data.toy.make import make_toy_data

__all__ = ['make_toy_data']
