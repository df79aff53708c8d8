"""Conversion of downloaded data sets to formats that the suite reads, without torch and mmcv.

``sets`` has one module per data set, with the facts of its download and a reader of its
annotations. All data sets share the rest (``convert``).
"""

from .convert import convert

__all__ = [
    'convert',
]
