"""Import hook that calls a function after a module's import, or at once if it is imported."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

__all__ = [
    'after_import',
]


class _ThenCall(Loader):
    """Loads a module with ``loader``, restores ``loader`` in its spec, and calls ``call``."""

    def __init__(self, loader: Loader, call: Callable[[], None]):
        self.loader, self.call = loader, call

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.call()


class _Finder(MetaPathFinder):
    def __init__(self, name: str, call: Callable[[], None]):
        self.name, self.call = name, call

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenCall(spec.loader, self.call)
        return spec


def after_import(name: str, call: Callable[[], None]) -> None:
    """Call ``call`` once when the top-level module ``name`` has been imported.

    Calls for one module are made in their order.
    A program that only prints its help does not wait for a slow import.
    """
    if name in sys.modules:
        call()
    elif not any(
        isinstance(finder, _Finder) and (finder.name, finder.call) == (name, call)
        for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _Finder(name, call))
