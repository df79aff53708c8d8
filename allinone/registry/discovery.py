"""Discovery of registered parts by the folder of their modules, without a list of names."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from mmengine.registry import Registry


def import_modules(package: str) -> None:
    """Import every module of a package, which registers its parts."""
    for module in iter_modules(import_module(package).__path__, f'{package}.'):
        if not module.ispkg:
            import_module(module.name)


def registered_names(
    module: str, registry: Registry, otherwise: Callable | None = None
) -> Callable:
    """A module's ``__getattr__`` that finds the classes of a registry by their names.

    Args:
        module: The module's name.
        registry: Registry whose classes the module exports.
        otherwise: Called with names that the registry does not have; returns an attribute or
            raises ``AttributeError``. Default: raise.
    """

    def find(name: str):
        if name in registry.module_dict:
            return registry.module_dict[name]
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f'module {module!r} has no attribute {name!r}')

    return find
