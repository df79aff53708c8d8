"""The old place of :mod:`allinone.io.images`, for one release."""

from allinone.io.images import find_images, read_image, write_image

__all__ = ['find_images', 'read_image', 'write_image']
