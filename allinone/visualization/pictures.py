"""Old module and function names of :mod:`allinone.io.images`, kept for one release."""

from allinone.io.images import find_images as find_pictures
from allinone.io.images import read_image as read_picture
from allinone.io.images import write_image as write_picture

__all__ = ['find_pictures', 'read_picture', 'write_picture']
