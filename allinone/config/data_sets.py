"""Configs of data sets inside those of wrappers, concatenations and shared sources."""

from collections.abc import Callable, Iterator, Mapping

from allinone.registry.scopes import scope_of_type

from .sources import labels_of


def scoped_dataset(cfg: Mapping, around: str | None = None) -> dict:
    """The config of a data set in which each data set has the library of its type as scope.

    Args:
        cfg: Of the data set.
        around: The scope of the wrapper around it. A data set of this suite keeps it, because its
            transforms are those of the library.
    """
    scope = _scope_of(cfg, around)
    if scope is None and labels_of(cfg) is not None:
        scope = 'allinone'  # So a shared source is built where no runner has set the scope.
    found = map_inner(cfg, lambda part: scoped_dataset(part, scope))
    if scope != around:
        found.setdefault('_scope_', scope)
    return found


def map_inner(cfg: Mapping, change: Callable[[Mapping], Mapping]) -> dict:
    """The config of a wrapper with each data set directly inside it changed."""
    found = dict(cfg)
    if _is_data_set(cfg.get('dataset')):
        found['dataset'] = change(cfg['dataset'])
    if isinstance(cfg.get('datasets'), (list, tuple)):
        found['datasets'] = [
            change(part) if _is_data_set(part) else part for part in cfg['datasets']
        ]
    if (labels := labels_of(cfg)) is not None:
        found['labels'] = {
            task: change(part) if _is_data_set(part) else part for task, part in labels.items()
        }
    return found


def innermost(cfg: Mapping, around: str | None = None) -> Iterator[tuple[str | None, Mapping]]:
    """Scope and config of each data set that a config wraps or concatenates; else of itself."""
    scope = _scope_of(cfg, around)
    parts = [cfg.get('dataset'), *(cfg.get('datasets') or ())]
    parts = list(filter(_is_data_set, parts))
    if not parts:
        yield scope, cfg
    for part in parts:
        yield from innermost(part, scope)


def _scope_of(cfg: Mapping, around: str | None) -> str | None:
    if cfg.get('_scope_') is not None:
        return cfg['_scope_']
    scope = scope_of_type(cfg.get('type'))
    return around if around is not None and scope in (None, 'allinone') else scope


def _is_data_set(cfg) -> bool:
    return isinstance(cfg, Mapping) and 'type' in cfg
