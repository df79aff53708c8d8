"""Mapping of build errors to the config key that causes them."""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.registry import BALANCERS, TASK_SCHEDULES
from allinone.registry.scopes import scope_of_type

from .data_root import missing_data_set

UNKNOWN_KEY = re.compile(r"\(\) got an unexpected keyword argument '(\w+)'( in <.*>)?$")
UNKNOWN_TYPE = re.compile(r'^(\S+) is not in the (?:(\w+)::)?([\w ]+) registry')
REGISTRIES = (
    *(part for part in vars(mmengine_registry).values() if isinstance(part, Registry)),
    BALANCERS,
    TASK_SCHEDULES,
)


def fault(key: str, cfg, error: Exception) -> str:
    """Explain in one sentence why a part of a config cannot be built.

    Args:
        key: Key of the part in the config; empty for the full config.
        cfg: The part.
        error: The error that building the part raised.
    """
    what = key or 'the config'
    return misspelt(
        key, cfg, error
    ) or f'{what} cannot be built: {type(error).__name__}: {_words(error)}'.removesuffix(': ')


def misspelt(key: str, cfg, error: Exception) -> str | None:
    """Locate an unknown key or type in ``cfg``; the libraries' errors name only the class.

    Args:
        key: Key of ``cfg``; empty for a full config.
        cfg: The config to search.
        error: The error that the libraries raised.

    Returns:
        A sentence; None for other errors, or if the cause is not in ``cfg``.
    """
    words, parts = _words(error), list(_parts(key, cfg, None))
    if found := UNKNOWN_KEY.search(words):
        return _unknown_key(parts, found[1])
    if found := UNKNOWN_TYPE.match(words):
        return _unknown_type(parts, *found.groups())
    return None


def places(key: str, cfg, kind: type | tuple[type, ...]) -> Iterator[tuple[str, str]]:
    """Path and type of each part of a config whose class is ``kind`` or derived from it.

    Args:
        key: Key of ``cfg``.
        cfg: The config to search.
        kind: The class, or several.
    """
    for path, part, scope in _parts(key, cfg, None):
        for found in _classes(part['type'], scope) if 'type' in part else ():
            if inspect.isclass(found) and issubclass(found, kind):
                yield path, found.__name__


def _words(error: Exception) -> str:
    # str() of a KeyError adds quotes.
    return ' '.join(str(error.args[0] if isinstance(error, KeyError) else error).split())


def unknown_key(path: str, name: str, known: Iterable[str], complete: bool = True) -> str:
    """Error sentence for an unknown key.

    Args:
        path: Path of the part that has it.
        name: The unknown key.
        known: Valid keys of the part.
        complete: Whether ``known`` has all valid keys.
    """
    near = difflib.get_close_matches(name, known, 1)
    if near:
        remedy = f'do you mean {near[0]!r}?'
    else:
        remedy = f'its keys are {sorted(known)}' if complete else 'check its spelling'
    return f'{path} has no key {name!r}; {remedy}'


def accepted_keys(kind) -> set[str]:
    """Names of the arguments of a class, including those that it passes on to its bases."""
    names = set()
    for part in inspect.getmro(kind) if inspect.isclass(kind) else [kind]:
        call = vars(part).get('__init__') if inspect.isclass(kind) else part
        if not inspect.isfunction(call):
            continue
        parameters = inspect.signature(call).parameters.values()
        names |= {
            parameter.name
            for parameter in parameters
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names - {'self'}


def _parts(key: str, cfg, scope: str | None) -> Iterator[tuple[str, Mapping, str | None]]:
    """Path, content and library of each dictionary in a config, outer ones first."""
    if isinstance(cfg, Mapping):
        if isinstance(cfg.get('_scope_'), str):
            scope = cfg['_scope_']
        else:
            scope = scope_of_type(cfg.get('type')) or scope
        yield key, cfg, scope
    members = (
        cfg.items()
        if isinstance(cfg, Mapping)
        else enumerate(cfg)
        if isinstance(cfg, (list, tuple))
        else ()
    )
    for name, part in members:
        yield from _parts(f'{key}.{name}' if key else str(name), part, scope)


def _unknown_key(parts: list, name: str) -> str | None:
    untyped = None
    for path, part, scope in parts:
        if name not in part:
            continue
        if 'type' not in part:
            untyped = untyped or path
            continue
        kinds = _classes(part['type'], scope)
        if kinds and not any(name in accepted_keys(kind) for kind in kinds):
            hands_on = inspect.getfullargspec(kinds[0]).varkw is not None
            return unknown_key(path, name, accepted_keys(kinds[0]), complete=not hands_on)
    return untyped and unknown_key(untyped, name, (), complete=False)


def _classes(kind, scope: str | None) -> list:
    """All classes that a type in a config may refer to; several registries may share a name."""
    if not isinstance(kind, str):
        return [kind]
    found = [_in_scope(root, scope).get(kind) for root in REGISTRIES]
    return [kind for kind in found if kind is not None]


def _in_scope(root: Registry, scope: str | None) -> Registry:
    return root.children.get(scope or 'allinone', root)


def _unknown_type(parts: list, name: str, scope: str | None, thing: str) -> str | None:
    for path, part, _ in parts:
        if part.get('type') != name:
            continue
        library, dot, short = name.rpartition('.')
        roots = [root for root in REGISTRIES if root.name == thing]
        elsewhere = sorted(
            f'{registry.scope}.{short}'
            for root in roots
            for registry in (root, *root.children.values())
            if short in registry.module_dict
        )
        # A name without a library is looked up in this suite, too.
        scopes = [library or scope, *([] if library else ['allinone'])]
        known = {
            kind
            for root in roots
            for registry in (*(_in_scope(root, name) for name in scopes), root)
            for kind in registry.module_dict
        }
        near = [library + dot + word for word in difflib.get_close_matches(short, known, 1)]
        meant = [other for other in elsewhere or near if other != name]
        remedy = (
            f'do you mean {" or ".join(map(repr, meant))}?'
            if meant
            else 'check its spelling, or import its module with custom_imports'
        )
        return f'{path}.type is {name!r}, which no {thing} of {library or scope} is; {remedy}'
    return None


@contextmanager
def named(key: str, cfg=None):
    """Add the config key of a part to the errors of building it.

    Args:
        key: Key of the part; empty for the full config.
        cfg: The part, which is searched for the cause of the error.
    """
    try:
        yield
    except AllInOneError as error:
        words = str(error)
        named_already = not key or words.startswith(f'{key}.')
        raise type(error)(words if named_already else f'{key}: {words}') from error
    except OSError as error:
        remedy = error.filename and missing_data_set(error.filename)
        raise DataError(
            f'{key and key + ": "}{error.filename or error} cannot be read: '
            f'{error.strerror or type(error).__name__}; {remedy or "check the path"}'
        ) from error
    except Exception as error:
        raise ConfigError(fault(key, cfg, error)) from error


def scoped(cfg: dict) -> dict:
    """The config with the library of its type as the scope of all its parts."""
    scope = scope_of_type(cfg.get('type'))
    return dict(cfg) if scope is None else dict(_scope_=scope) | dict(cfg)
