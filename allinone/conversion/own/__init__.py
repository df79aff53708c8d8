"""Conversion of own data: one module a source format, with ``read(source, options)``.

Each returns what it found (``found``), which is divided into splits (``splits``) and converted as
the public data sets are (``allinone.conversion.convert``). ``config_lines`` writes the data set's
variable for configs.
"""

from .prepare import prepare

__all__ = [
    'prepare',
]
