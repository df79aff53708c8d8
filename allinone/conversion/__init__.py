"""Downloaded data sets into the forms that the suite reads; imports neither torch nor mmcv.

``sets`` has a module a data set: the facts of its download, and how its annotations are read.
Everything else is the same for all of them (``convert``).
"""

from .convert import convert

__all__ = [
    'convert',
]
