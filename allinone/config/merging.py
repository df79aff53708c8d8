"""Merging and copying of parts of a config, without importing what is lazy in them."""

from collections.abc import Iterable

DELETE = '_delete_'


def merged(over: dict, under: dict) -> dict:
    """``over`` merged into ``under`` as mmengine merges a child config into its base.

    Dictionaries are merged key by key, and ``_delete_=True`` in one of ``over`` leaves out what
    ``under`` has there. Any other value of ``over`` replaces that of ``under``.
    """
    replaces = dict.get(over, DELETE, False)
    found = {} if replaces else {key: separate(value) for key, value in dict.items(under)}
    for key, value in dict.items(over):
        if isinstance(value, dict):
            below = found.get(key)
            found[key] = merged(value, below if isinstance(below, dict) else {})
        elif key != DELETE:
            found[key] = separate(value)
    return found


def separate(part):
    """A copy of a part of a config in which no two places hold the same dictionary or list.

    mmengine puts one object at all places that name a variable of a base, so a change at one place
    is a change at all. ``copy.deepcopy`` keeps that.
    """
    if isinstance(part, dict):
        found = type(part)()
        vars_of = getattr(part, '__dict__', {})
        getattr(found, '__dict__', {}).update(vars_of)
        for key, value in dict.items(part):
            dict.__setitem__(found, key, separate(value))
        return found
    if type(part) in (list, tuple):
        return type(part)(separate(value) for value in part)
    return part


def with_last(part: dict, names: Iterable[str]) -> dict:
    """The same content, with the keys among ``names`` last and in that order."""
    last = [name for name in names if name in part]
    first = [name for name in dict.keys(part) if name not in last]
    return {name: dict.__getitem__(part, name) for name in [*first, *last]}
