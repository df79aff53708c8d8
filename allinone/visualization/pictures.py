"""The old place of :mod:`allinone.io.images`, for one release."""

from allinone.io.images import find_pictures, read_picture, write_picture

__all__ = ['find_pictures', 'read_picture', 'write_picture']
