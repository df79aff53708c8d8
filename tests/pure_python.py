"""Rewriting of configs in mmengine's pure Python style, with imported classes as types."""

import inspect

from mmengine.registry import Registry

from allinone.config.build_errors import REGISTRIES
from allinone.config.data_sets import scoped_dataset
from allinone.registry.scopes import scope_of_type

OPS = ('nms', 'roi_layer')


def as_pure_python(cfg) -> str:
    """The source of a pure Python config with the content of a text config."""
    imports: dict[str, str] = {}
    content = cfg.to_dict()
    scope = content.get('default_scope', 'allinone')
    for stage in ('train', 'val', 'test'):
        for loader in (content.get(f'{stage}_dataloader') or {}).values():
            if isinstance(loader, dict) and 'dataset' in loader:
                loader['dataset'] = scoped_dataset(loader['dataset'], scope)
    body = ''.join(
        f'{key} = {_source(value, (key,), scope, imports)}\n'
        for key, value in content.items()
        if key != 'runner_type'
    )
    lines = [f'import {module} as {alias}' for module, alias in imports.items()]
    return '\n'.join([*lines, body])


def _source(part, path: tuple, scope: str, imports: dict) -> str:
    if isinstance(part, dict):
        outer = scope
        scope = part.get('_scope_') or scope
        kind = part.get('type')
        is_root = path == ('model', 'backbone') or (len(path) == 3 and path[1] == 'tasks')
        inner = (scope_of_type(kind) if is_root else None) or scope
        members = []
        for key, value in part.items():
            found = key == 'type' and isinstance(value, str) and _class(value, scope, path)
            source = (
                _imported(found, imports)
                if found
                else _source(value, (*path, key), outer if key == 'adapter' else inner, imports)
            )
            members.append(f'{key!r}: {source}')
        return '{' + ', '.join(members) + '}'
    if isinstance(part, (list, tuple)):
        inside = ''.join(f'{_source(v, (*path, n), scope, imports)}, ' for n, v in enumerate(part))
        return f'[{inside}]' if isinstance(part, list) else f'({inside})'
    return repr(part) if part != float('inf') else "float('inf')"


def _class(name: str, scope: str, path: tuple):
    if path[-1] in OPS:
        import mmcv.ops

        return getattr(mmcv.ops, name)
    for root in REGISTRIES:
        registry: Registry = root.children.get(scope, root)
        found = registry.get(name)
        if inspect.isclass(found) or inspect.isroutine(found):
            return found
    return None


def _imported(found, imports: dict) -> str:
    alias = imports.setdefault(found.__module__, found.__module__.replace('.', '_') + '_')
    return f'{alias}.{found.__qualname__}'
