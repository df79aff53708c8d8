"""The library in whose scope the parts of a config are looked up."""

import inspect

from . import LIBRARIES

# Their parts are in mmengine's root registries, which every scope falls back to.
ROOTS = ('mmengine', 'mmcv')


def scope_of_type(kind) -> str | None:
    """The scope that a type sets for the parts inside it; None: the scope around it stays.

    Args:
        kind: ``'mmdet.FCOS'`` and the like, or a class.
    """
    if inspect.isclass(kind):
        library = kind.__module__.split('.')[0]
        return library if library in LIBRARIES else None
    scope, dot, name = kind.partition('.') if isinstance(kind, str) else ('', '', '')
    # A name with several dots is the import path of a class without a registry.
    return scope if dot and '.' not in name and scope not in ROOTS else None
