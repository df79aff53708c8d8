"""Numbers of classes in the config of a model, set to another one."""

from collections.abc import Collection, Iterator, Sequence

from mmengine.registry import MODELS as MMENGINE_MODELS

from allinone.config.build_errors import accepted_keys
from allinone.errors import ConfigError
from allinone.registry.scopes import scope_of_type

NUMBER, THINGS, STUFF = 'num_classes', 'num_things_classes', 'num_stuff_classes'


def set_num_classes(
    key: str, cfg: dict, heads: Sequence[str], apart: Collection[str], count: int
) -> list[str] | None:
    """Set the number of classes of a model's config, in place.

    Each ``num_classes`` (and ``out_channels`` beside it) that equals the one of the model's head
    follows, wherever it is: in further heads, losses and preprocessors. So do lists of
    ``class_weight`` whose classes have the same weight.

    Args:
        key: Its config key, for messages.
        cfg: The config of the model.
        heads: Dotted places of the heads that have the number.
        apart: Keys whose parts have other classes.
        count: The new number.

    Returns:
        What changed, as ``'bbox_head.num_classes 3 -> 7'``; None if no part has such a number.

    Raises:
        ConfigError: If a list of weights, or numbers of things and stuff, cannot follow.
    """
    panoptic = [part for part in _dictionaries(cfg) if part.get(STUFF)]
    if panoptic:
        _check_panoptic(key, panoptic[0], count)
        return []
    parts = [list(_at(cfg, path.split('.'))) for path in heads]
    numbers = (_number_in(part, apart) for found in parts for part in reversed(found))
    before = next(filter(None, numbers), None)
    if before is None:
        scope = scope_of_type(cfg.get('type'))
        lacking = [part for found in parts for part in found if _takes_number(part, scope)]
        for part in lacking:
            part[NUMBER] = count
        return [f'{NUMBER} {count}'] if lacking else None
    if before == count:
        return []
    return list(_changes(key, '', cfg, apart, before, count))


def _dictionaries(part) -> Iterator[dict]:
    """All dictionaries in a config, outer ones first."""
    for found in _at(part, ()):
        yield found
        for value in found.values():
            yield from _dictionaries(value)


def _check_panoptic(key: str, part: dict, count: int) -> None:
    """Refuse a head of things and stuff for another number of classes: which is which is open."""
    if part.get(THINGS, 0) + part[STUFF] != count:
        raise ConfigError(
            f'{key} has {THINGS}={part.get(THINGS)} and {STUFF}={part[STUFF]}, but the task has '
            f'{count} classes; write both numbers of its data'
        )


def _at(part, path: Sequence[str]) -> Iterator[dict]:
    """The dictionaries at a place; a list of parts has several."""
    if isinstance(part, (list, tuple)):
        for member in part:
            yield from _at(member, path)
    elif isinstance(part, dict):
        if not path:
            yield part
        elif path[0] in part:
            yield from _at(part[path[0]], path[1:])


def _number_in(part: dict, apart: Collection[str]) -> int | None:
    """The number of classes of a head, or of the first part inside it that has one."""
    if isinstance(part.get(NUMBER), int):
        return part[NUMBER]
    if isinstance(part.get(THINGS), int):
        return part[THINGS]
    for name, value in part.items():
        for inner in _at(value, ()) if name not in apart else ():
            number = _number_in(inner, apart)
            if number is not None:
                return number
    return None


def _takes_number(part: dict, scope: str | None) -> bool:
    cls = part.get('type')
    if isinstance(cls, str):
        cls = MMENGINE_MODELS.get(cls if '.' in cls or scope is None else f'{scope}.{cls}')
    return cls is not None and NUMBER in accepted_keys(cls)


def _changes(
    key: str, place: str, part, apart: Collection[str], before: int, count: int
) -> Iterator[str]:
    if isinstance(part, (list, tuple)):
        for number, member in enumerate(part):
            yield from _changes(key, f'{place}.{number}', member, apart, before, count)
        return
    if not isinstance(part, dict):
        return
    numbered = part.get(NUMBER) == before
    for name, value in list(part.items()):
        if value == before and (name == THINGS or (numbered and name in (NUMBER, 'out_channels'))):
            part[name] = count
            yield f'{place}.{name} {before} -> {count}'.lstrip('.')
        elif name == 'class_weight' and isinstance(value, (list, tuple)):
            weights = _weights(f'{key}{place}.{name}', value, before, count)
            if weights is not None:
                part[name] = weights
                yield f'{place}.{name} {len(value)} -> {len(weights)} weights'.lstrip('.')
        elif name not in apart:
            yield from _changes(key, f'{place}.{name}', value, apart, before, count)


def _weights(key: str, value: Sequence, before: int, count: int) -> list | None:
    """Weights of ``count`` classes, and of the background where there was one.

    None where the list stays: it is not one of the old classes, or fits the new ones already.
    """
    if len(value) not in (before, before + 1):
        return None
    background = list(value[before:])
    if len({*value[:before]}) > 1:
        if len(value) in (count, count + 1):
            return None
        raise ConfigError(
            f'{key} has weights of {before} classes, but the task has {count}; give '
            f'{count + len(background)} weights, or None'
        )
    return [value[0]] * count + background
