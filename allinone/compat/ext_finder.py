"""Import hook that provides ``mmcv._ext`` if no compiled one is installed."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

__all__ = [
    'ExtFinder',
    'install',
]

_EXT = 'mmcv._ext'
_STAND_IN = 'allinone.compat.mmcv_ops'


class _StandInLoader(Loader):
    """Fills the module ``mmcv._ext`` from the stand-in, which it imports on demand."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # Names are copied instead of returning the stand-in itself: the import system would
        # overwrite that module's `__spec__` with the one of `mmcv._ext`.
        stand_in = importlib.import_module(_STAND_IN)
        for name in (*stand_in.__all__, '__doc__', '__getattr__'):
            setattr(module, name, getattr(stand_in, name))


class ExtFinder(MetaPathFinder):
    """Finds ``mmcv._ext`` and nothing else."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Returns the spec of the stand-in if ``fullname`` is ``mmcv._ext``, else None."""
        if fullname != _EXT:
            return None
        return spec_from_loader(fullname, _StandInLoader(), origin=_STAND_IN)


def install() -> None:
    """Appends the finder to ``sys.meta_path``, once.

    It is last, so Python calls it only if the ordinary finders find nothing: a compiled
    ``mmcv._ext`` always takes precedence.
    """
    if not any(isinstance(finder, ExtFinder) for finder in sys.meta_path):
        sys.meta_path.append(ExtFinder())
