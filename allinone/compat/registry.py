"""A correction that lets a prefixed name be found in mmengine's root registries.

From elsewhere MMEngine finds ``mmdet.RepeatDataset``, which mmdet does not register itself, in the
root registry behind that of mmdet. In the scope of mmdet, where only the prefix is needless, it
does not.
"""

import functools

from mmengine.registry import Registry


def install() -> None:
    """Corrects ``Registry.get``. Repeated calls change nothing."""
    if not hasattr(Registry.get, '__wrapped__'):
        Registry.get = _with_parents(Registry.get)


def _with_parents(get):
    @functools.wraps(get)
    def wrapper(self: Registry, key: str):
        found = get(self, key)
        if found is None and self.parent is not None:
            scope, name = self.split_scope_key(key)
            if scope == self.scope and '.' not in name:
                return self.parent.get(name)
        return found

    return wrapper
