"""Street scenes painted by code.

A scene is a list of things standing in a street, measured in metres (x to the right, y up, z away
from the camera), and painted back to front. The image, the class map and the instance map are
filled with the same polygons, so boxes and label maps are exact. All colours are RGB.

The random numbers of an image are drawn in a fixed order: a draw that is moved, added or left out
changes the data and needs a new ``GENERATOR_VERSION``.
"""
